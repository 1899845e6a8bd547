"""Line: the socket to i-PI, opened again and again, closed in an orderly way.

It knows addresses, keepers and time; what the bytes mean it does not know.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from typing import Final

from mimyria_driver.ipi.keeper import guard, release
from mimyria_driver.ipi.transport import connect, parse_address, remove_stale_socket
from mimyria_driver.redialling import Redialling

__all__ = ["Line"]

_log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 18
_SEND_TIMEOUT: Final = 10.0  # s
_REST_TIMEOUT: Final = 0.05  # s to wait for the rest of a request that has begun
_STALE_SECONDS: Final = 3.0  # of refusal, after which a socket is nobody's


class Line(Redialling):
    """The line to i-PI."""

    def __init__(self, address: str, clock: Callable[[], float]) -> None:
        """Nothing is opened before `connect`.

        Args:
            address: see `parse_address`.
            clock: seconds that only grow.
        """
        super().__init__(clock)
        self._address = parse_address(address)
        self.is_absent = False  # the latest attempt to connect found nobody
        self._refused_since: float | None = None
        self._keeper: tuple[int, int] | None = None
        self._ended_keepers: list[int] = []

    def connect(self) -> bool:
        """Whether there is a new connection; tries only when the pause is over."""
        if not self._is_due():
            return False
        try:
            self._socket = connect(self._address)
            self._keeper = guard(self._socket)
        except OSError as error:
            _log.debug("i-PI is not there: %s", error)
            self._tidy(error)
            self.disconnect()
            self.is_absent = True
            return False
        self._refused_since = None
        self._opened(self._socket)
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
        super().disconnect()
        if self._keeper is not None:
            release(self._keeper)
            self._ended_keepers.append(self._keeper[0])
            self._keeper = None
        self._ended_keepers = [
            each
            for each in self._ended_keepers
            if os.waitpid(each, os.WNOHANG) == (0, 0)
        ]
        self.is_absent = False

    def _tidy(self, error: OSError) -> None:
        """Remove the socket of an i-PI that was killed: the next one needs its name."""
        now = self._clock()
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
