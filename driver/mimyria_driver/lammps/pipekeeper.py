"""Keeper of a pipe: while no driver reads it, LAMMPS waits instead of being killed.

Who writes to a pipe that nobody has open is killed by SIGPIPE. So a second process has
it open as well. It sleeps until the driver is gone, and then keeps the pipe until the
next driver has come (which locks the pipe) or LAMMPS has left: what is still in the
pipe goes into the driver's spool, where the next one finds it.

The driver says by single bytes what is to be done when it is gone. Run as a script, for
a quick start: it needs the standard library alone, not mimyria.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time

__all__ = ["DRAIN", "HOLD", "LEAVE", "NOBODY", "OVER", "PipeKeeper"]

NOBODY = b"n"  # as far as the driver knows nobody writes
LEAVE = b"l"  # whoever writes shall notice
HOLD = b"h"  # LAMMPS waits for the next driver
DRAIN = b"d"  # LAMMPS goes on alone, and what it writes is thrown away

OVER = "over"
"""File in the spool that says that LAMMPS has left."""
_CONTROL, _READY = 100, 101
_NULL = "/dev/null"
_LOOK = 200  # ms between two looks for a driver
_SURE = 5  # looks: the lock of one that was killed goes a little later than its pipes
_PIECE = 1 << 20


class PipeKeeper:
    """The driver's end of the keeper."""

    def __init__(self, pipe: str, spool: str) -> None:
        """Start it, and wait until it has the pipe open.

        Args:
            pipe: path of the pipe.
            spool: folder for what is left in it.
        """
        reading, self._control = os.pipe()
        ready, says_ready = os.pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, reading, _CONTROL),
            (os.POSIX_SPAWN_DUP2, says_ready, _READY),
            *((os.POSIX_SPAWN_OPEN, n, _NULL, os.O_RDWR, 0) for n in range(3)),
        ]
        command = [sys.executable, "-I", "-S", __file__, pipe, spool]
        try:
            # A group of its own: Ctrl-C on a terminal ends the driver first.
            self._process = os.posix_spawn(
                sys.executable,
                command,
                dict(os.environ),
                file_actions=actions,
                setpgroup=0,
            )
        except OSError:
            os.close(self._control)
            os.close(ready)
            raise
        finally:
            os.close(reading)
            os.close(says_ready)
        # Before it has the pipe open, an earlier keeper must not go.
        os.read(ready, 1)
        os.close(ready)
        self._told = NOBODY

    def tell(self, what: bytes) -> None:
        """What to do when this process is gone."""
        if what != self._told:
            self._told = what
            with contextlib.suppress(BrokenPipeError):  # somebody has killed it
                os.write(self._control, what)

    def release(self) -> None:
        """This process has let go of the pipe."""
        os.close(self._control)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._process, os.WNOHANG)


def _keep(path: str, spool: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.suppress(OSError):  # the driver may be gone already
        os.write(_READY, b"!")
    os.close(_READY)
    told = NOBODY
    while said := os.read(_CONTROL, 1):  # ends when the driver is gone
        told = said
    if told == NOBODY and _ready(pipe, select.POLLIN, 0):
        told = HOLD  # the driver had not looked yet
    if told not in (HOLD, DRAIN):
        return
    _feign_writer(pipe)
    n_locked = 0
    while n_locked < _SURE:
        if _is_locked(pipe):
            n_locked += 1
            time.sleep(_LOOK / 1000)
            continue
        n_locked = 0
        if not _ready(pipe, select.POLLIN if told == DRAIN else 0, _LOOK):
            continue
        try:
            if not os.read(pipe, _PIECE) if told == DRAIN else _save(pipe, spool):
                return
        except BlockingIOError:
            continue  # another LAMMPS has come


def _feign_writer(pipe: int) -> None:
    """Open the pipe for writing and close it, so that it counts as left.

    The system reports a hang-up only of writers that were there since we opened it; one
    that had left before would be waited for for ever. Other writers make no difference.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK))


def _ready(pipe: int, what: int, milliseconds: int) -> bool:
    """Whether it has come to that, or the writer has left."""
    poller = select.poll()
    poller.register(pipe, what)
    return bool(poller.poll(milliseconds))


def _is_locked(pipe: int) -> bool:
    """Whether a driver has locked the pipe; it has it open by then."""
    try:
        fcntl.flock(pipe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(pipe, fcntl.LOCK_UN)
    return False


def _save(pipe: int, spool: str) -> bool:
    """LAMMPS has left: what it wrote last becomes the last part of the spool.

    Whether that was done; else a driver has come.

    Raises:
        BlockingIOError: another LAMMPS has come.
    """
    try:
        fcntl.flock(pipe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    known = os.listdir(spool)
    last = max((int(name) for name in known if name.isdigit()), default=0)
    path = os.path.join(spool, f"{last + 1:08d}")
    part = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while data := os.read(pipe, _PIECE):
            _write(part, data)
    finally:
        n_bytes = os.fstat(part).st_size
        os.close(part)
        if not n_bytes:
            os.unlink(path)
        fcntl.flock(pipe, fcntl.LOCK_UN)
    if n_bytes or any(os.path.getsize(os.path.join(spool, name)) for name in known):
        over = os.path.join(spool, OVER)
        os.close(os.open(over, os.O_WRONLY | os.O_CREAT, 0o600))
    return True


def _write(part: int, data: bytes) -> None:
    """Write all of it, as soon as there is room."""
    while data:
        try:
            data = data[os.write(part, data) :]
        except OSError:
            time.sleep(_LOOK / 1000)


if __name__ == "__main__":
    _keep(*sys.argv[1:3])
