"""Latest result: that of a run folder, read from outside whenever there is another one.

A result that cannot be read leaves the last good one in its place, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from mimyria.errors import MimyriaError
from mimyria.storage import RESULT_NAME, Result, read_result

__all__ = ["LatestResult", "Stamp", "result_stamp"]

Stamp = tuple[int, int, int]
"""Inode, size and time of change of a result: another stamp, another result."""


def result_stamp(directory: Path) -> Stamp | None:
    """Which result lies there now; None: there is none."""
    try:
        found = (directory / RESULT_NAME).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class LatestResult:
    """The result of a run folder, as far as it can be read.

    Attributes:
        result: the last one that could be read; None: there was none.
        written: when, s since 1970; NaN where there is none.
        trouble: why the present one cannot be read; None: it can, or there was none.
    """

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet."""
        self.result: Result | None = None
        self.written = float("nan")
        self.trouble: Exception | None = None
        self._path = directory / RESULT_NAME
        self._stamp: Stamp | None = None

    def look(self) -> bool:
        """Read it if it is another one; whether it is."""
        stamp = result_stamp(self._path.parent)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.result, self.trouble = read_result(self._path), None
        except (MimyriaError, OSError, MemoryError, KeyError, ValueError) as error:
            # A file of another version, a damaged one, or one that has gone.
            self.trouble = error
        else:
            self.written = stamp[2] * 1e-9 if stamp else float("nan")
        return True
