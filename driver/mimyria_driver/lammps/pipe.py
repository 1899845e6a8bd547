"""Pipe: the FIFO that LAMMPS dumps into; bytes only, what they mean it does not know.

There are always two readers of it: this process and a keeper (`pipekeeper`), so that
LAMMPS outlives the driver. Bytes pass through a spool in the run folder (`pipespool`).
The pipe is locked, so that no second driver takes a part of the stream.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from mimyria.errors import AccessError, LockedError, MimyriaError, SettingsError
from mimyria_driver.lammps.pipekeeper import (
    DRAIN,
    HOLD,
    LEAVE,
    NOBODY,
    PipeKeeper,
)
from mimyria_driver.lammps.pipespool import PipeSpool

__all__ = ["Pipe", "is_pipe", "make_pipe"]

_log = logging.getLogger(__name__)

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
_OTHERS: Final = 0o077
_SET_SIZE: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_SIZE: Final = 1 << 20  # what the system gives everybody; LAMMPS waits less
_LOCK_SECONDS: Final = 5.0  # for a keeper to hand the pipe over
_COMPLAIN_INTERVAL: Final = 60.0  # s between two lines about a full disk
_PAUSE: Final = 1.0  # s between two attempts to write


def is_pipe(path: Path) -> bool:
    """Whether there is a pipe."""
    try:
        return stat.S_ISFIFO(os.lstat(path).st_mode)
    except OSError:
        return False


def make_pipe(path: Path) -> None:
    """Make a pipe for this user alone; one that is there already will do.

    Raises:
        SettingsError: it cannot be made.
    """
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise SettingsError(
            f"{path}: the pipe of source.path cannot be made ({error.strerror}). It "
            "needs a local folder that is there; network file systems may have none."
        ) from error


class Pipe:
    """The bytes that LAMMPS writes."""

    def __init__(
        self, path: Path, spool: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open and lock the pipe; LAMMPS may write from now on.

        Args:
            path: of the pipe, see `make_pipe`.
            spool: folder for bytes that are not in the journal.
            clock: seconds that only grow.

        Raises:
            AccessError: others can reach it.
            LockedError: another driver reads it.
            SettingsError: it cannot be opened.
        """
        self._path = path
        self._clock = clock
        self._lock = _open(path)  # never read from, so that no lock is ever let go
        try:
            # The keeper comes first: an earlier one goes when the pipe is locked.
            self._keeper = PipeKeeper(str(path), str(spool))
            self._open_locked(spool)
        except MimyriaError:
            os.close(self._lock)
            raise
        except OSError as error:
            os.close(self._lock)
            raise SettingsError(
                f"{path}: the pipe cannot be opened ({error.strerror})."
            ) from error
        with suppress(OSError):
            fcntl.fcntl(self._descriptor, _SET_SIZE, _SIZE)
        # Never readable: stands in for the pipe while the disk is full.
        self._idle, self._idle_end = socket.socketpair()
        self._try_at = self._complain_at = -float("inf")
        self._heard = self.spool.is_over  # LAMMPS has left while no driver was there

    def _open_locked(self, spool: Path) -> None:
        try:
            _lock(self._lock, self._path)
            self._descriptor = os.open(self._path, _FLAGS)
            self.spool = PipeSpool(spool)
        except BaseException:
            self._keeper.release()
            raise

    @property
    def pollable(self) -> object | None:
        """What becomes readable when there is something to read."""
        return self._idle if self._clock() < self._try_at else self._descriptor

    def left(self) -> Iterator[bytes]:
        """What an earlier driver had read and not brought into the journal."""
        return self.spool.left()

    def read(self, most: int) -> bytes | None:
        """The next bytes; None if there are none now, empty if LAMMPS has left."""
        if self._clock() < self._try_at:
            return None
        try:
            data = self.spool.take(self._descriptor, most)
        except OSError as error:
            self._complain(error)
            return None
        if data == b"":
            return self._end()
        # Bytes, or nothing now: somebody has it open.
        self._keeper.tell(HOLD)
        self.spool.go_on()
        self._heard = self._heard or data is not None
        return data

    def close(self, *, coming_back: bool, refused: bool, clear: bool) -> None:
        """Let go of the pipe.

        Args:
            coming_back: LAMMPS waits for another driver; else it goes on alone.
            refused: LAMMPS is ended, by SIGPIPE at its next frame.
            clear: nothing in the spool is needed any more.
        """
        if self._lock < 0:
            return
        if refused:
            self._keeper.tell(LEAVE)
        elif not coming_back:
            self._keeper.tell(DRAIN)
        self.spool.close(clear=clear)
        for descriptor in (self._descriptor, self._lock):
            os.close(descriptor)
        self._lock = -1
        self._keeper.release()
        self._idle.close()
        self._idle_end.close()

    def _end(self) -> bytes | None:
        """Nobody has the pipe open for writing."""
        self._keeper.tell(NOBODY)
        if self._heard:
            return b""
        # Not yet. Who opened it and left without a word must not wake us for ever.
        os.close(self._descriptor)
        self._descriptor = os.open(self._path, _FLAGS)
        return None

    def _complain(self, error: OSError) -> None:
        now = self._clock()
        self._try_at = now + _PAUSE
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_INTERVAL
            _log.error(
                "frames cannot be kept (%s); LAMMPS waits until they can",
                error.strerror or error,
            )


def _open(path: Path) -> int:
    """Open a pipe of this user.

    Raises:
        AccessError: it belongs to others, or they can open it.
        SettingsError: it is none, or cannot be opened.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise SettingsError(
            f"{path}: the pipe cannot be opened ({error.strerror})."
        ) from error
    found = os.fstat(descriptor)
    what: MimyriaError | None = None
    if not stat.S_ISFIFO(found.st_mode):
        what = SettingsError(f"{path}: this is no pipe. Choose another source.path.")
    elif found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        what = AccessError(
            f"{path}: other users can open this pipe. Remove it; the driver makes it "
            "for you alone."
        )
    if what is not None:
        os.close(descriptor)
        raise what
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    """Be the only driver that reads a pipe.

    Raises:
        LockedError: another one does.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() > deadline:
            raise LockedError(
                f"{path}: another driver reads this pipe. Stop it, or give each "
                "LAMMPS a pipe of its own."
            )
        time.sleep(0.02)
