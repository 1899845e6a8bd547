"""ASE's Atoms and our Frame: the one place where the one becomes the other."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from mimyria.frame import Array, Frame

__all__ = ["atoms_from_frame", "frame_from_atoms"]


def frame_from_atoms(
    atoms: Atoms, velocities: Array | None = None, step: int = 0, replica: int = 0
) -> Frame:
    """The frame of some atoms.

    Args:
        atoms: positions and cell in Å, as ASE has them. Momenta are not looked at.
        velocities: (n_atoms, 3) Å/fs, if there are any.
        step: see `Frame`.
        replica: see `Frame`.
    """
    return Frame(
        np.asarray(atoms.numbers, np.int64),
        np.array(atoms.positions, np.float64),
        np.array(atoms.cell.array, np.float64),
        velocities,
        step,
        replica,
        (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
    )


def atoms_from_frame(frame: Frame) -> Atoms:
    """The atoms of a frame, without velocities."""
    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
