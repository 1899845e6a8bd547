"""Shells: how much of each molecule lies at which distance from the solute.

A molecule that crosses a border goes over smoothly: its weights in the shells change
with time, and always add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array, Frame
from mimyria.images import nearest_distances, nearest_images

__all__ = [
    "RELIABLE_FROM",
    "Shells",
    "bond_offsets",
    "centres_of_mass",
    "shell_weights",
]

RELIABLE_FROM: Final = 50.0
"""cm⁻¹. Below it molecules that change the shell add power of their own."""


@dataclass(frozen=True, slots=True, eq=False)
class Shells:
    """Distances that molecules are told apart by.

    Attributes:
        centres: atoms whose nearest one counts.
        borders: Å, rising; one shell more than borders.
        width: of the ramp around each border, Å.
        molecule: (n_atoms,) — molecule of each atom, counted from 0.
        parent: (n_atoms,) — the atom that each one is bonded to on the way to the first
            of its molecule, which is its own parent.
    """

    centres: NDArray[np.int64]
    borders: tuple[float, ...]
    width: float
    molecule: NDArray[np.int64]
    parent: NDArray[np.int64]

    @property
    def n_shells(self) -> int:
        """Shells, with the one that goes on to infinity."""
        return len(self.borders) + 1

    def distances(self, frame: Frame, masses: Array) -> Array:
        """(n_molecules,) Å — centre of mass to the nearest centre; inf if far beyond.

        Args:
            frame: positions and cell.
            masses: (n_atoms,) amu.
        """
        return nearest_distances(
            centres_of_mass(frame, masses, self.molecule, self.parent),
            frame.positions[self.centres],
            frame.cell,
            frame.pbc,
            self.borders[-1] + self.width,
        )

    def weights(self, frame: Frame, masses: Array) -> Array:
        """(n_shells, n_atoms) — share of each atom's molecule in each shell.

        Args:
            frame: positions and cell.
            masses: (n_atoms,) amu.
        """
        distances = self.distances(frame, masses)
        return shell_weights(distances, self.borders, self.width)[:, self.molecule]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "centres": self.centres.tolist(),
            "borders": list(self.borders),
            "width": self.width,
            "molecule": self.molecule.tolist(),
            "parent": self.parent.tolist(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Shells:
        """The inverse of `as_dict`."""
        return cls(
            np.array(document["centres"], np.int64),
            tuple(float(border) for border in document["borders"]),
            float(document["width"]),
            np.array(document["molecule"], np.int64),
            np.array(document["parent"], np.int64),
        )


def shell_weights(distances: Array, borders: tuple[float, ...], width: float) -> Array:
    """Weights of all shells; nowhere negative, and 1 together.

    Args:
        distances: (n,) Å.
        borders: Å, rising.
        width: of the ramps, Å; they may overlap.

    Returns:
        (len(borders) + 1, n).

    Source: docs/theory.md, eq. (49).
    """
    middle = np.array(borders)[:, np.newaxis]
    ramp = np.clip((distances - middle) / width + 0.5, 0.0, 1.0)
    beyond = np.sin(0.5 * np.pi * ramp) ** 2
    ones, zeros = np.ones_like(distances), np.zeros_like(distances)
    weights: Array = np.vstack([ones, beyond]) - np.vstack([beyond, zeros])
    return weights


def centres_of_mass(
    frame: Frame,
    masses: Array,
    molecule: NDArray[np.int64],
    parent: NDArray[np.int64],
) -> Array:
    """(n_molecules, 3) Å — each at the image next to its molecule's first atom.

    Molecules may be cut by the borders of the cell: they are put together along their
    bonds, each of which is the shortest image.

    Args:
        frame: positions and cell.
        masses: (n_atoms,) amu.
        molecule: (n_atoms,) — molecule of each atom, counted from 0.
        parent: (n_atoms,) — as `Shells` has it.
    """
    offsets = bond_offsets(frame, parent)
    total = np.bincount(molecule, masses)
    first = np.unique(molecule, return_index=True)[1]
    mean = np.stack(
        [np.bincount(molecule, masses * offset) / total for offset in offsets.T], axis=1
    )
    centres: Array = frame.positions[first] + mean
    return centres


def bond_offsets(frame: Frame, parent: NDArray[np.int64]) -> Array:
    """(n_atoms, 3) Å — from the first atom of its molecule to each, along the bonds.

    Args:
        frame: positions and cell.
        parent: (n_atoms,) — as `Shells` has it.
    """
    bonds = frame.positions - frame.positions[parent]
    offsets = nearest_images(bonds, frame.cell, frame.pbc)
    # Sum of the bonds up to the first atom, twice as many of them in each turn.
    above = parent
    while np.any(above != above[above]):
        offsets = offsets + offsets[above]
        above = above[above]
    return offsets
