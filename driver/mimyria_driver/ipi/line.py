"""Line: the socket to i-PI, opened again and again, closed in an orderly way.

It knows addresses, keepers and time; what the bytes mean it does not know.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable
from typing import Final

from mimyria_driver.ipi.keeper import guard, release
from mimyria_driver.ipi.transport import connect, parse_address, remove_stale_socket

__all__ = ["Line"]

_log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 18
_FIRST_PAUSE: Final = 0.05  # s between two attempts to connect; doubles ...
_LAST_PAUSE: Final = 2.0  # ... up to this
_SEND_TIMEOUT: Final = 10.0  # s
_REST_TIMEOUT: Final = 0.05  # s to wait for the rest of a request that has begun
_STALE_SECONDS: Final = 3.0  # of refusal, after which a socket is nobody's


class Line:
    """One connection at a time, with growing pauses between two attempts."""

    def __init__(self, address: str, clock: Callable[[], float]) -> None:
        """Nothing is opened before `connect`.

        Args:
            address: see `parse_address`.
            clock: seconds that only grow.
        """
        self._address = parse_address(address)
        self._clock = clock
        self._socket: socket.socket | None = None
        self.was_open = False  # at any time
        self.is_absent = False  # the latest attempt to connect found nobody
        # Never readable: stands in for the socket while there is none, so that a
        # poller sleeps until its timeout instead of spinning.
        self._idle, self._idle_end = socket.socketpair()
        self._pause = _FIRST_PAUSE
        self._try_at = -float("inf")
        self._refused_since: float | None = None
        self._keeper: tuple[int, int] | None = None
        self._ended_keepers: list[int] = []

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

    def connect(self) -> bool:
        """Whether there is a new connection; tries only when the pause is over."""
        now = self._clock()
        if now < self._try_at:
            return False
        self._try_at = now + self._pause
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        try:
            self._socket = connect(self._address)
            self._keeper = guard(self._socket)
        except OSError as error:
            _log.debug("i-PI is not there: %s", error)
            self._tidy(error, now)
            self.disconnect()
            self.is_absent = True
            return False
        self._refused_since = None
        self.was_open = True
        self._pause = _FIRST_PAUSE
        _log.info("connected to i-PI at %s", self._address.path or self._address)
        return True

    def read(self, *, under_way: bool) -> bytes | None:
        """Bytes that are there; None if there are none or i-PI is gone.

        Args:
            under_way: a request has begun and its rest will be there at once.
        """
        if self._socket is None:
            return None
        if under_way:
            # Bytes left unread are what a reset is made of; see `keeper`.
            select.select([self._socket], [], [], _REST_TIMEOUT)
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            _log.warning("lost i-PI: %s", error, extra={"code": "engine_lost"})
            self.disconnect()
            return None
        if not data:
            reason = "it closed the connection"
            _log.warning("lost i-PI: %s", reason, extra={"code": "engine_lost"})
            self.disconnect()
            return None
        return data

    def send(self, data: bytes) -> None:
        """Send all, or lose the connection."""
        if not data or self._socket is None:
            return
        try:
            self._socket.settimeout(_SEND_TIMEOUT)
            self._socket.sendall(data)
            self._socket.setblocking(False)
        except OSError as error:
            _log.warning("lost i-PI: %s", error, extra={"code": "engine_lost"})
            self.disconnect()

    def disconnect(self) -> None:
        """Let go of the connection; the keeper closes it."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._keeper is not None:
            release(self._keeper)
            self._ended_keepers.append(self._keeper[0])
            self._keeper = None
        self._ended_keepers = [
            each
            for each in self._ended_keepers
            if os.waitpid(each, os.WNOHANG) == (0, 0)
        ]
        self._try_at = self._clock() + self._pause
        self.is_absent = False

    def close(self) -> None:
        """Close for good."""
        self.disconnect()
        self._idle.close()
        self._idle_end.close()

    def _tidy(self, error: OSError, now: float) -> None:
        """Remove the socket of an i-PI that was killed: the next one needs its name."""
        if not isinstance(error, ConnectionRefusedError):
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > _STALE_SECONDS:
            self._refused_since = None
            if remove_stale_socket(self._address):
                _log.warning(
                    "removed %s, at which no i-PI listens any more", self._address.path
                )
