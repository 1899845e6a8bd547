"""A dump in a file that may still grow: bytes only, from its beginning each time.

Whoever starts LAMMPS before there is a pipe gets a file. Nothing is lost then, but the
file takes room on the disk, and LAMMPS never waits.
"""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mimyria.errors import SettingsError

__all__ = ["DumpFile"]

_SET_LEASE: Final = getattr(fcntl, "F_SETLEASE", None)


class DumpFile:
    """The bytes of a file."""

    pollable = None  # a file has no way to say that it has grown

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            SettingsError: it cannot be opened.
        """
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - see `close`
        except OSError as error:
            raise SettingsError(
                f"{path}: the dump of source.path cannot be read ({error.strerror})."
            ) from error
        # A lease tells us by this signal that somebody wants to write.
        if _SET_LEASE is not None:
            with suppress(ValueError):  # not the main thread
                signal.signal(signal.SIGIO, signal.SIG_IGN)

    def left(self) -> Iterator[bytes]:
        """Nothing: the file has all of it, still."""
        return iter(())

    def read(self, most: int) -> bytes | None:
        """The next bytes; None if there are none now, empty if nobody writes."""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # another LAMMPS has begun it anew
        over = self._is_over()
        data = self._file.read(most)
        if data:
            return data
        return b"" if over else None

    def close(self, *, coming_back: bool, refused: bool, clear: bool) -> None:
        """Close the file; all the rest is for pipes."""
        self._file.close()

    def _is_over(self) -> bool:
        """Whether no process has the file open for writing, as far as one can know.

        A read lease is granted only then. Where there are none (network file systems)
        a file is never over.
        """
        if _SET_LEASE is None:
            return False
        try:
            fcntl.fcntl(self._file.fileno(), _SET_LEASE, fcntl.F_RDLCK)
            fcntl.fcntl(self._file.fileno(), _SET_LEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return True
