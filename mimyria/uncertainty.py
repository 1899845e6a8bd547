"""Uncertainty of a frame: how far the members of a committee disagree about it.

Numbers in, numbers out; no network and no file. What members say of frames with labels
is calibrated by what was wrong there; what they say of others is measured by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from mimyria.frame import Array

__all__ = ["LARGEST", "Calibration", "Uncertainty", "excesses", "judge", "spread"]

LARGEST: Final = 1e30
"""Excess where members disagree about what they never disagreed about; it fits into
single precision, as the journal keeps it."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What a committee knows of its own error in one target of one frame.

    Attributes:
        epsilon: expected ε of eq. (93), what a spectrum would feel if all frames were
            like this one.
        excess: largest disagreement about one atom, in units of the largest about any
            atom of that element in the frames with labels; at most `LARGEST`.
    """

    epsilon: float
    excess: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was learned of the disagreement from frames with labels, for one target.

    Attributes:
        factor: expected error over disagreement; 1 where no frame was held out.
        largest: of each element, the largest disagreement about one atom, in the unit
            of the target.
    """

    factor: float
    largest: Mapping[int, float]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """From the metadata of a model."""
        factor = values["factor"]
        return cls(
            1.0 if factor is None else float(factor),
            {atomic_numbers[name]: float(s) for name, s in values["largest"].items()},
        )

    def as_dict(self) -> dict[str, Any]:
        """Inverse of `from_dict`."""
        named = {chemical_symbols[z]: size for z, size in self.largest.items()}
        return {"factor": self.factor, "largest": named}


def spread(members: Array) -> Array:
    """Disagreement about each atom: the standard deviation, over all components.

    Args:
        members: (n_members, n_atoms, n_components), two members or more.

    Returns:
        (n_atoms,) in the unit of the target.

    Source: docs/theory.md, eq. (96).
    """
    sizes: Array = np.sqrt(members.var(axis=0, ddof=1).sum(axis=-1))
    return sizes


def excesses(
    sizes: Array, numbers: NDArray[np.int64], largest: Mapping[int, float]
) -> Array:
    """Disagreement about each atom in units of the largest that is known.

    Args:
        sizes: (n_atoms,), see `spread`.
        numbers: (n_atoms,) — atomic numbers.
        largest: of each element; one that no label speaks of is not among them.

    Returns:
        (n_atoms,), zero where there is no disagreement, at most `LARGEST`.

    Source: docs/theory.md, eq. (97).
    """
    limits = np.array([largest.get(z, 0.0) for z in numbers.tolist()])
    known = np.where(sizes > 0, LARGEST, 0.0)
    np.divide(sizes, limits, out=known, where=limits > 0)
    return np.minimum(known, LARGEST)


def judge(
    members: Array, numbers: NDArray[np.int64], masses: Array, calibration: Calibration
) -> Uncertainty:
    """Uncertainty of one target of one frame.

    Args:
        members: (n_members, n_atoms, n_components).
        numbers: (n_atoms,) — atomic numbers.
        masses: (n_atoms,).
        calibration: of the committee.

    Source: docs/theory.md, eq. (96) and docs/theory.md, eq. (97).
    """
    sizes = spread(members)
    size = float((members.mean(axis=0) ** 2).sum(axis=-1) @ (1 / masses))
    error = calibration.factor * math.sqrt(float(sizes**2 @ (1 / masses)))
    return Uncertainty(
        error / math.sqrt(size) if size > 0 else math.inf,
        float(excesses(sizes, numbers, calibration.largest).max(initial=0.0)),
    )
