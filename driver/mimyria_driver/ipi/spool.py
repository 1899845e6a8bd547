"""Spool: the positions that i-PI has sent and that are not in the journal yet.

i-PI sends each configuration once. It is written here before it is answered, so that a
driver that is killed finds it again, with its step. The file survives a kill, not a
power cut, and stays short: what the journal has is left out when it is written anew.

    record   magic(4) · n_atoms u32 · step i64 · rid i32 · crc32 u32 ·
             cell 72 · positions 24 n_atoms
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimyria_driver import diskio

__all__ = ["Configuration", "Spool"]

_MAGIC: Final = b"mmps"
_HEAD: Final = struct.Struct("<4sIqiI")
_CELL_BYTES: Final = 72
_KEPT: Final = 3  # configurations kept in any case: they tell which one comes next
_LARGEST: Final = 1 << 24  # bytes before the file is written anew ...
_SEVERAL: Final = 24  # ... or so many configurations, where they are large


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration as i-PI sent it.

    Attributes:
        step: MD step.
        rid: identity of the bead in i-PI.
        cell: 9 float64, columns are lattice vectors, bohr.
        positions: 3 n_atoms float64, bohr.
    """

    step: int
    rid: int
    cell: bytes
    positions: bytes


class Spool:
    """The latest configurations, in memory and in a file."""

    def __init__(self, path: Path, n_atoms: int) -> None:
        """Read what an earlier driver has left.

        Args:
            path: the file.
            n_atoms: atoms of the run; what was written for another number is dropped.
        """
        self._path = path
        self._n_atoms = n_atoms
        self.kept: deque[Configuration] = deque()
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._end = self._read(path.read_bytes())
        os.ftruncate(self._descriptor, self._end)

    def append(self, configuration: Configuration) -> None:
        """Keep one more; a step that is there already begins a new branch.

        Raises:
            OSError: it cannot be written; nothing has changed.
        """
        data = self._packed(configuration)
        if self._end > max(_LARGEST, _SEVERAL * len(data)):
            self._write_anew()
        try:
            diskio.write_all(self._descriptor, data)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
        self._add(configuration)

    def forget(self, step: int) -> None:
        """Everything before this step is not needed any more."""
        while len(self.kept) > _KEPT and self.kept[0].step < step:
            self.kept.popleft()

    def close(self) -> None:
        """Release the file; what is in it stays."""
        os.close(self._descriptor)

    def _add(self, configuration: Configuration) -> None:
        while self.kept and self.kept[-1].step >= configuration.step:
            self.kept.pop()
        self.kept.append(configuration)

    def _packed(self, configuration: Configuration) -> bytes:
        body = configuration.cell + configuration.positions
        head = _HEAD.pack(
            _MAGIC, self._n_atoms, configuration.step, configuration.rid, 0
        )
        checksum = zlib.crc32(body, zlib.crc32(head))
        return head[:-4] + checksum.to_bytes(4, "little") + body

    def _read(self, data: bytes) -> int:
        """Take all whole records; returns where they end."""
        size = _HEAD.size + _CELL_BYTES + 24 * self._n_atoms
        end = 0
        while end + size <= len(data):
            magic, n_atoms, step, rid, checksum = _HEAD.unpack_from(data, end)
            head = data[end : end + _HEAD.size - 4] + bytes(4)
            body = data[end + _HEAD.size : end + size]
            if (magic, n_atoms) != (_MAGIC, self._n_atoms):
                break
            if checksum != zlib.crc32(body, zlib.crc32(head)):
                break
            self._add(Configuration(step, rid, body[:_CELL_BYTES], body[_CELL_BYTES:]))
            end += size
        return end

    def _write_anew(self) -> None:
        beside = self._path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(beside, flags, 0o600)
        data = b"".join(self._packed(each) for each in self.kept)
        try:
            diskio.write_all(descriptor, data)
            beside.replace(self._path)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self._end = descriptor, len(data)
