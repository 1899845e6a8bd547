"""Way: the dipole moment as an integral of the APT along the way that the atoms take.

    M(n+1) = M(n) + Σ_i ½ (P_i(n) + P_i(n+1)) (r_i(n+1) − r_i(n))

An APT says how the dipole changes, not how large it is: the first value is given by the
user. Atoms that leave the cell go on outside of it. A configuration that comes again
has the value that it had, also for another process and after i-PI went back to a
checkpoint: all values are in a folder, which survives a kill, not a power cut.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FrameError, JournalError, LockedError, OutputError
from mimyria.frame import Array, Frame
from mimyria.images import nearest_images
from mimyria_driver.ipi.memory import CAPACITY, Memory
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.ipi.spool import Configuration, Spool

__all__ = ["Evaluated", "Way"]

_log = logging.getLogger(__name__)

_FARTHEST: Final = 0.3  # Å between two configurations; a step of dynamics is below 0.1
_VALUE: Final = struct.Struct("<q3dI4x")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A configuration with its tensors.

    Attributes:
        request: as it came from i-PI.
        frame: the same in our units.
        apt: (n_atoms, 3, 3) e.
    """

    request: Positions
    frame: Frame
    apt: Array


class Way:
    """The dipole moment of one trajectory, of one bead."""

    def __init__(self, folder: Path, n_atoms: int, start: Array) -> None:
        """Go on where an earlier process was, or begin.

        Args:
            folder: where the way is kept; made if absent.
            n_atoms: atoms of the run.
            start: (3,) e Å — dipole moment of the first configuration.

        Raises:
            LockedError: another process has the folder.
            OutputError: the folder cannot be used.
        """
        self._folder = folder
        self._start = start
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._values = os.open(folder / "dipoles", flags, 0o600)
            self._lock()
            self._spool = Spool(folder / "positions", n_atoms)
            self._memory = Memory(folder / "memory", n_atoms)
        except LockedError:
            raise
        except OSError as error:
            raise OutputError(
                f"{folder}: the dipole cannot be kept here "
                f"({error.strerror or error}). Make room, or choose another folder."
            ) from error
        self._rid: int | None = None
        self._last: Evaluated | None = None
        self._dipole = start
        self._step = -1
        self.connected()

    def connected(self) -> None:
        """What comes next is the first configuration of a connection."""
        self._is_first = True

    def dipole(
        self, new: Evaluated, evaluate: Callable[[Positions], Evaluated]
    ) -> Array:
        """The dipole moment of the next configuration, (3,) e Å.

        Args:
            new: the configuration.
            evaluate: gives the tensors of one that an earlier process had.

        Raises:
            FrameError: it is none of the same bead, or it lies too far away.
            JournalError: the value cannot be kept.
        """
        self._require_bead(new.request.rid)
        step, value = self._placed(new, evaluate)
        try:
            self._keep(step, new.request, value)
        except OSError as error:
            raise JournalError(
                f"{self._folder}: the dipole cannot be kept "
                f"({error.strerror or error}). i-PI waits for another client."
            ) from error
        self._step, self._dipole, self._last = step, value, new
        self._is_first = False
        return value

    def close(self) -> None:
        """Release the files; what is in them stays."""
        self._memory.close()
        self._spool.close()
        os.close(self._values)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._values, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._values)
            raise LockedError(
                f"{self._folder}: another process keeps its dipole here. End it, or "
                "give another folder."
            ) from error

    def _require_bead(self, rid: int) -> None:
        if self._rid is None:
            self._rid = rid
        if rid != self._rid:
            raise FrameError(
                f"i-PI asks for bead {rid} beside {self._rid}, but the dipole is an "
                "integral along the way of one. Use one bead, and no output that looks "
                "at displaced configurations; BEC and dipole_derivative alone have no "
                "such limit."
            )

    def _placed(
        self, new: Evaluated, evaluate: Callable[[Positions], Evaluated]
    ) -> tuple[int, Array]:
        """Step and dipole of a configuration."""
        if self._is_first:
            known = self._memory.recall(new.request.cell, new.request.positions)
            if known is not None:
                return known, self._value(known)
        if self._last is None:
            if not self._spool.kept:
                return 0, self._start
            last = self._spool.kept[-1]
            n_atoms = new.request.n_atoms
            self._step, self._dipole = last.step, self._value(last.step)
            self._last = evaluate(
                Positions(last.rid, last.cell, last.positions, n_atoms)
            )
        return self._step + 1, self._dipole + self._change(self._last, new)

    def _change(self, last: Evaluated, new: Evaluated) -> Array:
        """Dipole along the straight line between two configurations, (3,) e Å."""
        cell = new.frame.cell
        if not np.array_equal(last.frame.cell, cell):
            raise FrameError(
                "The cell has changed, but the dipole can be followed in a cell of "
                "constant size only. Use dynamics without a barostat."
            )
        difference = new.frame.positions - last.frame.positions
        moved = nearest_images(difference, cell, new.frame.pbc)
        farthest = float(np.linalg.norm(moved, axis=1).max())
        if farthest > _FARTHEST:
            raise FrameError(
                f"An atom lies {farthest:.2g} Å from where it was, which is no step of "
                f"the run in {self._folder} (at most {_FARTHEST} Å), and the "
                "configuration is none that came before. For a new run give an empty "
                "folder."
            )
        change: Array = np.einsum("iab,ib->a", 0.5 * (last.apt + new.apt), moved)
        return change

    def _keep(self, step: int, request: Positions, value: Array) -> None:
        """Make the value survive a kill, before it is sent.

        The value itself is first, so that it is there for all that is remembered.
        """
        entry = _VALUE.pack(step, *value, 0)
        entry = entry[:-8] + struct.pack("<I4x", zlib.crc32(entry[:-8]))
        os.pwrite(self._values, entry, step % CAPACITY * _VALUE.size)
        self._spool.append(
            Configuration(step, request.rid, request.cell, request.positions)
        )
        self._spool.forget(step)
        self._memory.remember(step, request.cell, request.positions)

    def _value(self, step: int) -> Array:
        """The dipole moment of a step that is remembered."""
        size = _VALUE.size
        entry = os.pread(self._values, size, step % CAPACITY * size)
        if len(entry) == size:
            found, *value, checksum = _VALUE.unpack(entry)
            if found == step and checksum == zlib.crc32(entry[:-8]):
                return np.array(value)
        raise JournalError(
            f"{self._folder}/dipoles is damaged: step {step} is not in it. Begin a new "
            "run in an empty folder."
        )
