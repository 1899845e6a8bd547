"""Frame: one instant of a simulation. It knows no file, no engine, no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FrameError, ShapeError

__all__ = ["Array", "Beads", "Frame"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Beads:
    """The copies of all atoms that a ring polymer is made of.

    Attributes:
        positions: (n_beads, n_atoms, 3) Å.
        velocities: (n_beads, n_atoms, 3) Å/fs.
    """

    positions: Array
    velocities: Array

    def __len__(self) -> int:
        """Number of beads."""
        return len(self.positions)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Positions, cell and velocities of all atoms at one step.

    Attributes:
        numbers: (n_atoms,) — atomic numbers.
        positions: (n_atoms, 3) Å — need not be wrapped into the cell.
        cell: (3, 3) Å — rows are the lattice vectors; r_ij = r_j − r_i + S @ cell.
        velocities: (n_atoms, 3) Å/fs — of the same instant as the positions, or None
            where the source sends none (i-PI).
        step: MD step; increases strictly within a replica.
        replica: bead or trajectory.
        pbc: whether the cell repeats along each lattice vector.
        beads: where the frame is that of a ring polymer, all its beads; positions and
            velocities are those of the centroid then. Made by `mimyria.ringpolymer`.
    """

    numbers: NDArray[np.int64]
    positions: Array
    cell: Array
    velocities: Array | None
    step: int
    replica: int = 0
    pbc: tuple[bool, bool, bool] = (True, True, True)
    beads: Beads | None = None

    def __post_init__(self) -> None:
        """Check shapes once, so that no later code has to."""
        n_atoms = len(self.numbers)
        _check_shape("numbers", self.numbers, (n_atoms,))
        _check_shape("positions", self.positions, (n_atoms, 3))
        _check_shape("cell", self.cell, (3, 3))
        if self.velocities is not None:
            _check_shape("velocities", self.velocities, (n_atoms, 3))
        if self.beads is not None:
            shape = (len(self.beads), n_atoms, 3)
            _check_shape("positions of the beads", self.beads.positions, shape)
            _check_shape("velocities of the beads", self.beads.velocities, shape)

    @property
    def n_beads(self) -> int:
        """Copies of all atoms that the networks are asked about; 1: the frame alone."""
        return 1 if self.beads is None else len(self.beads)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def volume(self) -> float:
        """Volume of the cell in Å³."""
        return float(abs(np.linalg.det(self.cell)))

    def require_finite(self) -> None:
        """Refuse a frame that holds NaN or infinity.

        Raises:
            FrameError: names the array and the first atom (or cell row) at fault.
        """
        named = {"positions": self.positions, "cell": self.cell}
        if self.velocities is not None:
            named["velocities"] = self.velocities
        for name, array in named.items():
            finite = np.isfinite(array).all(axis=1)
            if not finite.all():
                raise FrameError(
                    f"step {self.step}: {name} must be finite, but row "
                    f"{int(np.argmin(finite))} is {array[int(np.argmin(finite))]}. "
                    "The dynamics has probably blown up; look at the engine's log."
                )


def _check_shape(
    name: str,
    array: NDArray[np.float64] | NDArray[np.int64],
    expected: tuple[int, ...],
) -> None:
    if array.shape != expected:
        raise ShapeError(
            f"{name} must have the shape {expected}, but has {array.shape}."
        )
