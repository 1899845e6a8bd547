"""Agreement of tensors from two routes, the order of their indices included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import ShapeError

__all__ = ["Agreement", "CheckResult", "agreement"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the tensors of two routes are from each other.

    Attributes:
        name: `apt` or `pgt`.
        scale: largest element of both, in the unit of the tensor.
        largest: largest difference of two elements, in that unit.
        rms: root mean square of the differences, likewise.
        relative: `largest` over `scale`.
        relative_rms: `rms` over the root mean square of the second tensor.
        where: (sample, indices …) of the largest difference.
        tolerance: that `relative` must keep to.
        transposed: `relative` if the first tensor had its last two indices exchanged;
            what agrees far better that way is in a wrong order.
    """

    name: str
    scale: float
    largest: float
    rms: float
    relative: float
    relative_rms: float
    where: tuple[int, ...]
    tolerance: float
    transposed: float

    @property
    def verdict(self) -> str:
        """`agree`, `transposed` (they would in another order) or `differ`."""
        if self.relative <= self.tolerance:
            return "agree"
        return "transposed" if self.transposed <= self.tolerance else "differ"

    @property
    def sees_order(self) -> bool:
        """Whether a wrong order of indices would have been noticed with these atoms."""
        return max(self.relative, self.transposed) > self.tolerance


def agreement(
    name: str, tensors: ArrayLike, reference: ArrayLike, tolerance: float
) -> Agreement:
    """Compare the tensors of two routes, atom by atom and index by index.

    Args:
        name: `apt` or `pgt`.
        tensors: (n, 3, 3) or (n, 3, 3, 3) — by fields.
        reference: the same shape — by displacements.
        tolerance: of the largest difference, relative to the largest element.

    Raises:
        ShapeError: the arrays do not belong together.
    """
    first = np.asarray(tensors, dtype=np.float64)
    second = np.asarray(reference, dtype=np.float64)
    wanted = (3, 3) if name == "apt" else (3, 3, 3)
    if first.shape != second.shape or first.shape[1:] != wanted or not len(first):
        raise ShapeError(
            f"both {name}s must have the shape (n, {', '.join(map(str, wanted))}), n "
            f"above 0, but have {first.shape} and {second.shape}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ShapeError(f"both {name}s must be finite; a calculation has failed.")
    difference = np.abs(first - second)
    scale = float(max(np.abs(first).max(), np.abs(second).max())) or 1.0
    rms = float(np.sqrt(np.mean(difference**2)))
    exchanged = np.abs(np.swapaxes(first, -1, -2) - second)
    return Agreement(
        name,
        scale,
        float(difference.max()),
        rms,
        float(difference.max()) / scale,
        rms / (float(np.sqrt(np.mean(second**2))) or 1.0),
        tuple(map(int, np.unravel_index(difference.argmax(), difference.shape))),
        tolerance,
        float(exchanged.max()) / scale,
    )


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Both routes of one configuration held against each other.

    Attributes:
        name: of its task.
        atoms: that were displaced.
        agreements: one for each tensor.
    """

    name: str
    atoms: tuple[int, ...]
    agreements: tuple[Agreement, ...]

    @property
    def agrees(self) -> bool:
        """Whether all tensors agree."""
        return all(each.verdict == "agree" for each in self.agreements)
