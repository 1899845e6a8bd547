"""Keeper: lets go of i-PI's socket in an orderly way when the driver is killed.

A socket that is closed with unread bytes in it is reset, and a reset in the middle of a
request hangs i-PI 3.3 for ever. So a second process holds the same socket. It sleeps
until the driver is gone, then says that nothing more will be sent, and reads what comes
until i-PI has closed its end: i-PI sees a client that has left, and gives the request
to the next one.

Run as a script, for a quick start: it needs the standard library alone, not mimyria.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

__all__ = ["guard", "release"]

_SOCKET = 100
_PIPE = 101
_DEADLINE = 600.0  # s for i-PI to notice
_NULL = "/dev/null"


def guard(connected: socket.socket) -> tuple[int, int]:
    """Start a keeper of this socket.

    Args:
        connected: to i-PI; the caller goes on using it.

    Returns:
        Process and the descriptor to close when the socket is let go of.
    """
    reading, writing = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, connected.fileno(), _SOCKET),
        (os.POSIX_SPAWN_DUP2, reading, _PIPE),
        # Whoever reads the output of the driver must not wait for the keeper.
        *((os.POSIX_SPAWN_OPEN, number, _NULL, os.O_RDWR, 0) for number in range(3)),
    ]
    command = [sys.executable, "-I", "-S", __file__]
    try:
        # A group of its own: Ctrl-C on a terminal ends the driver first.
        process = os.posix_spawn(
            sys.executable, command, dict(os.environ), file_actions=actions, setpgroup=0
        )
    except OSError:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return process, writing


def release(keeper: tuple[int, int]) -> None:
    """Tell the keeper that the driver has let go; it ends by itself."""
    os.close(keeper[1])


def _keep() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(_PIPE, 1)  # returns when the driver has closed its end, or is dead
    kept = socket.socket(fileno=_SOCKET)
    try:
        kept.settimeout(_DEADLINE)
        kept.shutdown(socket.SHUT_WR)
        while kept.recv(1 << 16):
            pass
    except OSError:
        pass  # i-PI was faster


if __name__ == "__main__":
    _keep()
