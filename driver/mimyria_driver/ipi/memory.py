"""Memory: which step a configuration was, for an i-PI that went back to a checkpoint.

i-PI sends no step. Its first request after a restart is the configuration of the
checkpoint, as exactly as that was printed. Of each configuration a few random-sign sums
over all coordinates are remembered: two that differ by the rounding of a checkpoint
have the same sums to that rounding, two that differ by one step of dynamics do not.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array

__all__ = ["CAPACITY", "Memory"]

CAPACITY: Final = 65_536
"""Steps that are remembered; more than usual from one checkpoint to the next."""

_N_SUMS: Final = 8
_TOLERANCE: Final = 1e-6  # bohr for each coordinate, above what eight digits lose
_HEAD: Final = struct.Struct("<4sIII")
_MAGIC: Final = b"mmem"
_ENTRY: Final = struct.Struct(f"<q{_N_SUMS}dII")


class Memory:
    """Sums of the latest configurations, in memory and, if wanted, in a file."""

    def __init__(
        self, path: Path | None, n_atoms: int, capacity: int = CAPACITY
    ) -> None:
        """Read what an earlier driver has left.

        Args:
            path: the file, or None.
            n_atoms: atoms of the run; a file for another number is begun anew.
            capacity: steps to remember.
        """
        rng = np.random.default_rng(20261128)
        self._signs: Array = rng.choice([-1.0, 1.0], (_N_SUMS, 3 * n_atoms + 9))
        self._tolerance = _TOLERANCE * math.sqrt(3 * n_atoms + 9)
        self._capacity = capacity
        self._steps: NDArray[np.int64] = np.full(capacity, -1, dtype=np.int64)
        # Taken as a whole now: what grew with the first steps would look like a leak.
        self._sums: Array = np.full((capacity, _N_SUMS), 0.0)
        self._descriptor = -1
        if path is not None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
            self._read(_HEAD.pack(_MAGIC, n_atoms, capacity, _N_SUMS))

    def remember(self, step: int, cell: bytes, positions: bytes) -> None:
        """Note a configuration, in bohr.

        Raises:
            OSError: it cannot be written.
        """
        sums = self._sums_of(cell, positions)
        slot = step % self._capacity
        if self._descriptor >= 0:
            entry = _ENTRY.pack(step, *sums, 0, 0)
            entry = entry[:-4] + struct.pack("<I", zlib.crc32(entry[:-4]))
            os.pwrite(self._descriptor, entry, _HEAD.size + slot * _ENTRY.size)
        self._steps[slot], self._sums[slot] = step, sums

    def recall(self, cell: bytes, positions: bytes) -> int | None:
        """The step of a configuration; the latest one that is nearest, or None."""
        distances = np.abs(self._sums - self._sums_of(cell, positions)).max(axis=1)
        distances[self._steps < 0] = math.inf
        nearest = distances.min()
        if not nearest <= self._tolerance:
            return None
        return int(self._steps[distances == nearest].max())

    def knows(self, step: int, cell: bytes, positions: bytes) -> bool:
        """Whether this step was this configuration, as exactly as a checkpoint is."""
        slot = step % self._capacity
        if self._steps[slot] != step:
            return False
        difference = np.abs(self._sums[slot] - self._sums_of(cell, positions))
        return bool(difference.max() <= self._tolerance)

    def close(self) -> None:
        """Release the file; what is in it stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _sums_of(self, cell: bytes, positions: bytes) -> Array:
        sums: Array = self._signs @ np.frombuffer(positions + cell)
        return sums

    def _read(self, head: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        data = os.pread(self._descriptor, size, 0)
        if data[: _HEAD.size] != head:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, head, 0)
            return
        for begin in range(_HEAD.size, len(data) - _ENTRY.size + 1, _ENTRY.size):
            entry = data[begin : begin + _ENTRY.size]
            step, *sums, _, checksum = _ENTRY.unpack(entry)
            if checksum == zlib.crc32(entry[:-4]):
                slot = step % self._capacity
                self._steps[slot], self._sums[slot] = step, sums
