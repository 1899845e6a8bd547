"""Redialling: one connection at a time, with growing pauses between two attempts.

It knows time, and a socket that somebody else opens; no address and no bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

__all__ = ["Redialling"]

_FIRST_PAUSE: Final = 0.05  # s between two attempts to connect; doubles ...
_LAST_PAUSE: Final = 2.0  # ... up to this


class Redialling:
    """What the lines to engines share that the driver calls.

    Attributes:
        was_open: there was one at any time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """There is no connection, and one may be tried at once.

        Args:
            clock: seconds that only grow.
        """
        self._clock = clock
        self._socket: socket.socket | None = None
        self.was_open = False
        # Never readable: stands in for the socket while there is none, so that a
        # poller sleeps until its timeout instead of spinning.
        self._idle, self._idle_end = socket.socketpair()
        self._pause = _FIRST_PAUSE
        self._try_at = -float("inf")

    @property
    def pollable(self) -> socket.socket:
        """The socket; while there is none, one that never has anything."""
        return self._idle if self._socket is None else self._socket

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._socket is not None

    @property
    def is_over(self) -> bool:
        """Whether it was closed for good."""
        return self._idle.fileno() < 0

    def _is_due(self) -> bool:
        """Whether the pause is over; then an attempt begins, and the next is longer."""
        if self._clock() < self._try_at:
            return False
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        return True

    def _opened(self, found: socket.socket) -> None:
        """The attempt has led to a connection."""
        self._socket = found
        self.was_open = True
        self._pause = _FIRST_PAUSE

    def disconnect(self) -> None:
        """Let go of the connection, or of the attempt; the pause begins."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._try_at = self._clock() + self._pause

    def close(self) -> None:
        """Close for good."""
        self.disconnect()
        self._idle.close()
        self._idle_end.close()
