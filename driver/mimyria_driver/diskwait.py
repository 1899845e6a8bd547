"""Disk wait: a full disk as a state of the run, not its end.

While there is no room nothing is acknowledged, so the engine waits by its credit; what
was evaluated stays in memory. The journal is tried again every few seconds. A ballast
file is given up only when the run has to stop before there is room: the last records
and the result then still fit.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from mimyria.errors import DiskFullError

__all__ = ["BALLAST_NAME", "DiskWait"]

BALLAST_NAME: Final = "ballast"

_RETRY_SECONDS: Final = 2.0
_BALLAST_BYTES: Final = 16 << 20
_PLENTY: Final = 64
"""No ballast on a disk that has not so many times as much room."""

_log = logging.getLogger(__name__)


class DiskWait:
    """Whether there is room in a run folder, and when to try again.

    Attributes:
        reason: why nothing can be written, empty while it can.
    """

    def __init__(self, folder: Path) -> None:
        """Put the ballast there, if there is plenty of room."""
        self.reason = ""
        self._ballast = folder / BALLAST_NAME
        self._since = 0.0
        self._next = 0.0
        with suppress(OSError):
            if not self._ballast.exists():
                _make_ballast(self._ballast)

    @property
    def blocked(self) -> bool:
        """Whether it is too early to try again."""
        return bool(self.reason) and time.monotonic() < self._next

    def note_full(self, error: DiskFullError) -> None:
        """There is no room; said once."""
        now = time.monotonic()
        self._next = now + _RETRY_SECONDS
        if not self.reason:
            self._since = now
            _log.warning(
                "%s The run waits for it, and so does the engine; nothing is lost",
                error,
                extra={"code": "disk_full"},
            )
        self.reason = str(error)

    def note_room(self) -> None:
        """Something was written and is safe."""
        if self.reason:
            seconds = time.monotonic() - self._since
            _log.warning(
                "there is room again after %.0f s; the run goes on",
                seconds,
                extra={"code": "disk_free"},
            )
        self.reason = ""

    def drop_ballast(self) -> bool:
        """Give the ballast up; whether there was one."""
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True


def _make_ballast(path: Path) -> None:
    """A file that really takes its room; none where that is scarce."""
    if shutil.disk_usage(path.parent).free < _PLENTY * _BALLAST_BYTES:
        return
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, _BALLAST_BYTES)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)
