"""Folder: the files by which a run outlives a driver that is killed."""

from __future__ import annotations

from pathlib import Path

from mimyria.errors import OutputError
from mimyria_driver.ipi.beads import BeadGathering
from mimyria_driver.ipi.memory import Memory
from mimyria_driver.ipi.spool import Spool

__all__ = ["open_memories"]


def open_memories(
    folder: Path | None, n_atoms: int, n_beads: int
) -> tuple[Spool | None, Memory, BeadGathering | None]:
    """The configurations, the steps that they had, and beads of a step under way.

    Args:
        folder: of the files; None: the steps alone are remembered, in this process.
        n_atoms: of each bead.
        n_beads: of a ring polymer; 1: one bead is followed.

    Raises:
        OutputError: the folder cannot be used.
    """
    n_all = n_atoms * n_beads
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        beads = None
        if n_beads > 1:
            path = None if folder is None else folder / "ipi.beads"
            beads = BeadGathering(n_beads, n_atoms, path)
        if folder is None:
            return None, Memory(None, n_all), beads
        return (
            Spool(folder / "ipi.positions", n_all),
            Memory(folder / "ipi.memory", n_all),
            beads,
        )
    except OSError as error:
        raise OutputError(
            f"{folder}: positions of i-PI cannot be kept here "
            f"({error.strerror or error}). Make room, or choose another run.directory."
        ) from error
