"""Scaling: shift and scale of each species and irrep, fitted on training data only.

A network learns (y − shift) / scale, which has unit size for every species and irrep.
Only scalars are shifted, since any other shift would break equivariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import ShapeError
from mimyria.frame import Array

__all__ = ["IrrepBlock", "Scaling", "fit_scaling"]

# An irrep smaller than this part of the largest one is numerical noise of the reference
# calculation; dividing by its own size would make the network learn noise.
_SMALLEST_PART = 1e-3


@dataclass(frozen=True, slots=True)
class IrrepBlock:
    """Components start … stop − 1 of a tensor in irreps.

    Attributes:
        name: as e3nn writes it, for example "2e".
        start: first component.
        stop: one past the last component.
        target: name of the target that it belongs to.
    """

    name: str
    start: int
    stop: int
    target: str = ""

    @property
    def is_scalar(self) -> bool:
        """Whether the block is invariant under rotation and inversion."""
        return self.name == "0e"


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Shift and scale for each species (row) and component in irreps (column).

    Attributes:
        shift: (n_species, dim) — in the unit of the target.
        scale: (n_species, dim) — in the unit of the target, positive.
    """

    shift: Array
    scale: Array

    def __post_init__(self) -> None:
        """Check shapes once."""
        if self.shift.ndim != 2 or self.shift.shape != self.scale.shape:
            raise ShapeError(
                f"shift and scale must have one common shape (n_species, dim), but "
                f"have {self.shift.shape} and {self.scale.shape}."
            )

    def normalise(self, values: Array, species: NDArray[np.int64]) -> Array:
        """(values − shift) / scale for values (n_atoms, dim) of species (n_atoms,)."""
        normalised: Array = (values - self.shift[species]) / self.scale[species]
        return normalised

    def as_dict(self) -> dict[str, list[list[float]]]:
        """Plain numbers, ready for JSON."""
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, values: dict[str, list[list[float]]]) -> Scaling:
        """Inverse of `as_dict`."""
        return cls(np.array(values["shift"], float), np.array(values["scale"], float))

    @classmethod
    def neutral(cls, n_species: int, dim: int) -> Scaling:
        """No shift and unit scale."""
        return cls(np.zeros((n_species, dim)), np.ones((n_species, dim)))


def fit_scaling(
    values: Array,
    species: NDArray[np.int64],
    n_species: int,
    blocks: Sequence[IrrepBlock],
) -> Scaling:
    """Mean of scalars, and root mean square of each block, for each species.

    Args:
        values: (n_atoms, dim) — training targets in irreps.
        species: (n_atoms,) — index of the species of each atom.
        n_species: number of species.
        blocks: how the components fall into irreps, of one target or of several.
    """
    shift = np.zeros((n_species, values.shape[1]))
    scale = np.ones_like(shift)
    for kind in range(n_species):
        own = values[species == kind]
        if len(own) == 0:
            continue
        for block in blocks:
            columns = slice(block.start, block.stop)
            if block.is_scalar:
                shift[kind, columns] = own[:, columns].mean(axis=0)
            rest = own[:, columns] - shift[kind, columns]
            scale[kind, columns] = np.sqrt((rest**2).mean())
        for target in {block.target for block in blocks}:
            columns = _columns(blocks, target)
            floor = _SMALLEST_PART * scale[kind, columns].max()
            scale[kind, columns] = np.maximum(
                scale[kind, columns], floor if floor > 0 else 1.0
            )
    return Scaling(shift, scale)


def _columns(blocks: Sequence[IrrepBlock], target: str) -> slice:
    """All components of one target; they stand side by side."""
    own = [block for block in blocks if block.target == target]
    return slice(own[0].start, own[-1].stop)
