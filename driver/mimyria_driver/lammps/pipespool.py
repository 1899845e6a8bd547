"""Spool of a pipe: the bytes that LAMMPS has written and the journal does not have yet.

A pipe gives each byte once. The kernel moves them from the pipe into a file here before
anybody looks at them (splice), so that a driver that is killed at any moment finds them
again. They survive a kill, not a power cut. Files are parts of one stream, in the order
of their numbers; a part is removed when all of it is in the journal.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimyria.files import read_plain, replace_file
from mimyria.units import LAMMPS_UNITS
from mimyria_driver import diskio
from mimyria_driver.lammps.pipekeeper import OVER

__all__ = ["PipeSpool"]

_PART: Final = 1 << 20
"""Bytes after which a new part begins; about as many come again to the next driver."""
_PIECE: Final = 1 << 20
_UNITS: Final = "units"


@dataclass(slots=True)
class _Part:
    """One file, and which bytes of the stream it has."""

    path: Path
    begin: int
    end: int


class PipeSpool:
    """The parts in a folder.

    Attributes:
        is_over: LAMMPS has left while no driver was there.
    """

    def __init__(self, folder: Path) -> None:
        """See what an earlier driver has left.

        Args:
            folder: made if absent; the pipe is locked by this process.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._parts: deque[_Part] = deque()
        end = 0
        for path in sorted(each for each in folder.iterdir() if each.name.isdigit()):
            begin, end = end, end + path.stat().st_size
            self._parts.append(_Part(path, begin, end))
        self._end = end
        self._number = int(self._parts[-1].path.name) if self._parts else 0
        self._descriptor = -1  # of the last part, once this process has begun one
        self._unwritten = b""
        self.is_over = (folder / OVER).exists()
        self._splices = hasattr(os, "splice")

    @property
    def units(self) -> str | None:
        """Unit style of the stream, if an earlier driver has heard it."""
        try:
            text = read_plain(self._folder / _UNITS, 64).decode("ascii", "replace")
        except OSError:
            return None
        return text if text in LAMMPS_UNITS else None

    def go_on(self) -> None:
        """Somebody writes again."""
        if self.is_over:
            (self._folder / OVER).unlink(missing_ok=True)
            self.is_over = False

    def note_units(self, style: str) -> None:
        """Remember what LAMMPS says only once.

        Raises:
            OutputError: it cannot be written.
        """
        if style != self.units:
            replace_file(self._folder / _UNITS, style.encode())

    def left(self) -> Iterator[bytes]:
        """What an earlier driver has left, in pieces."""
        for part in list(self._parts):
            with open(part.path, "rb") as file:
                while data := file.read(_PIECE):
                    yield data

    def take(self, pipe: int, most: int) -> bytes | None:
        """Move bytes from the pipe to the last part.

        Args:
            pipe: open, not blocking.
            most: number of bytes.

        Returns:
            The bytes; None if there are none now, empty if nobody writes any more.

        Raises:
            OSError: they cannot be kept; they are still in the pipe, or come again.
        """
        if self._descriptor < 0 or self._parts[-1].end - self._parts[-1].begin > _PART:
            self._begin_part()
        part = self._parts[-1]
        place = part.end - part.begin
        try:
            moved = self._move(pipe, place, most)
        except BlockingIOError:
            return None
        part.end = self._end = part.end + moved
        return os.pread(self._descriptor, moved, place) if moved else b""

    def forget(self, end: int) -> None:
        """Everything before this byte of the stream is in the journal."""
        while self._parts and self._parts[0].end <= end:
            if len(self._parts) == 1 and self._descriptor >= 0:
                if self._parts[0].end == self._parts[0].begin:
                    return
                os.close(self._descriptor)
                self._descriptor = -1
            self._parts.popleft().path.unlink(missing_ok=True)

    def close(self, *, clear: bool) -> None:
        """Let go of the files.

        Args:
            clear: no one needs them.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not clear:
            return
        for path in self._folder.iterdir():
            path.unlink()
        self._folder.rmdir()

    def _begin_part(self) -> None:
        path = self._folder / f"{self._number + 1:08d}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._number += 1
        self._parts.append(_Part(path, self._end, self._end))

    def _move(self, pipe: int, place: int, most: int) -> int:
        if self._splices:
            try:
                return os.splice(pipe, self._descriptor, most, offset_dst=place)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                    raise
                self._splices = False  # not on this file system: bytes pass by here
        data = self._unwritten or os.read(pipe, most)
        self._unwritten = data
        os.lseek(self._descriptor, place, os.SEEK_SET)
        diskio.write_all(self._descriptor, data)
        self._unwritten = b""
        return len(data)
