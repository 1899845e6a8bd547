"""Motions: how molecules travel, turn and vibrate, as three velocities of each atom.

The velocity of an atom is that of the centre of mass of its molecule, plus what the
molecule's rotation as a rigid body gives it, plus the rest. So currents split into
parts that add up, whatever the molecules do; in a liquid the turning is the libration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array, Frame
from mimyria.shells import bond_offsets

__all__ = ["MOTIONS", "Motions"]

MOTIONS: Final = ("translation", "libration", "vibration")
"""Names of the parts, in the order of `Motions.split`."""

_NO_TURN: Final = 1e-6
"""Smallest moment of inertia over the largest, below which an axis is that of a linear
molecule; atoms on a line have rounding there, bent molecules more than 1e-3."""


@dataclass(frozen=True, slots=True, eq=False)
class Motions:
    """The molecules whose motions are told apart.

    Attributes:
        molecule: (n_atoms,) — molecule of each atom, counted from 0.
        parent: (n_atoms,) — the atom that each one is bonded to on the way to the first
            of its molecule, which is its own parent.
    """

    molecule: NDArray[np.int64]
    parent: NDArray[np.int64]

    def split(self, frame: Frame, masses: Array) -> Array:
        """(3, n_atoms, 3) Å/fs — velocities of the motions, whose sum is the velocity.

        V = Σ m v / M,  ω = I⁺ Σ m d × v,  v = V + ω × d + rest

        Args:
            frame: positions, cell and velocities.
            masses: (n_atoms,) amu.

        Source: docs/theory.md, eq. (92).
        """
        velocities = frame.velocities
        assert velocities is not None
        total = self._sums(masses[:, np.newaxis])
        offsets = bond_offsets(frame, self.parent)
        from_centre: Array = offsets - self._mean(offsets, masses, total)
        travel = self._mean(velocities, masses, total)
        angular = self._sums(
            masses[:, np.newaxis] * np.cross(from_centre, velocities - travel)
        )
        turn = np.einsum("mab,mb->ma", self._inverse(from_centre, masses), angular)
        turning = np.cross(turn[self.molecule], from_centre)
        return np.stack([travel, turning, velocities - travel - turning])

    def _inverse(self, from_centre: Array, masses: Array) -> Array:
        """(n_molecules, 3, 3) — pseudo-inverse of the tensors of inertia."""
        squares = np.einsum("ia,ia->i", from_centre, from_centre)
        each = squares[:, np.newaxis, np.newaxis] * np.eye(3) - np.einsum(
            "ia,ib->iab", from_centre, from_centre
        )
        inertia = self._sums((masses[:, np.newaxis, np.newaxis] * each).reshape(-1, 9))
        moments, axes = np.linalg.eigh(inertia.reshape(-1, 3, 3))
        real = moments > _NO_TURN * moments[:, -1:]
        inverse = np.where(real, 1.0 / np.where(real, moments, 1.0), 0.0)
        found: Array = np.einsum("mak,mk,mbk->mab", axes, inverse, axes)
        return found

    def _mean(self, each: Array, masses: Array, total: Array) -> Array:
        """(n_atoms, n) — mean over the molecule of each atom, weighted by mass."""
        means: Array = (self._sums(masses[:, np.newaxis] * each) / total)[self.molecule]
        return means

    def _sums(self, each: Array) -> Array:
        """(n_molecules, n) — sums of (n_atoms, n) over the molecules."""
        return np.stack([np.bincount(self.molecule, column) for column in each.T], 1)

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"molecule": self.molecule.tolist(), "parent": self.parent.tolist()}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Motions:
        """The inverse of `as_dict`."""
        return cls(
            np.array(document["molecule"], np.int64),
            np.array(document["parent"], np.int64),
        )
