"""Line: the socket to a server of IMD, opened again and again.

It knows an address and time; what the bytes mean it does not know.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from mimyria.errors import SettingsError
from mimyria_driver.redialling import Redialling

__all__ = ["Line", "parse_address"]

_log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 16
_MOST_BYTES: Final = 1 << 24
"""More than the buffers of both ends hold."""
_CONNECT_TIMEOUT: Final = 1.0  # s
_SEND_TIMEOUT: Final = 1.0  # s; messages of a client have 8 bytes
_COMPLAIN_INTERVAL: Final = 60.0  # s between two lines about an engine that is away
_LAST_PORT: Final = 65535


def parse_address(text: str) -> tuple[str, int]:
    """Host and port in `HOST:PORT`.

    Raises:
        SettingsError: none of these.
    """
    host, _, port = text.rpartition(":")
    digits = port.isascii() and port.isdigit()
    if host.strip("[]") and digits and 0 < int(port) <= _LAST_PORT:
        return host.strip("[]"), int(port)
    raise SettingsError(
        f"source.address must be HOST:PORT, where the engine waits for a client of "
        f"IMD, as 127.0.0.1:8888, but is '{text}'."
    )


class Line(Redialling):
    """The line to a server of IMD."""

    def __init__(self, address: str, clock: Callable[[], float]) -> None:
        """Nothing is opened before `connect`.

        Args:
            address: see `parse_address`.
            clock: seconds that only grow.

        Raises:
            SettingsError: the address is none.
        """
        super().__init__(clock)
        self.address = address
        self._target = parse_address(address)
        self._complain_at = -float("inf")

    def connect(self) -> bool:
        """Whether there is a new connection; tries only when the pause is over."""
        if not self._is_due():
            return False
        try:
            found = socket.create_connection(self._target, _CONNECT_TIMEOUT)
        except OSError as error:
            self.disconnect()
            self._complain(error)
            return False
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.setblocking(False)
        self._opened(found)
        self._complain_at = -float("inf")
        _log.info("connected to the IMD server at %s", self.address)
        return True

    def read(self) -> bytes | None:
        """Bytes that are there; None if there are none, empty if it is closed."""
        if self._socket is None:
            return None
        try:
            data = self._socket.recv(_CHUNK_BYTES)
            self._hurry(self._socket)
            return data
        except BlockingIOError:
            return None
        except OSError as error:
            _log.debug("the IMD server is gone: %s", error)
            return b""

    def read_all(self) -> bytes:
        """All bytes that are there, for an end that sends no faster than this reads."""
        data = bytearray()
        while len(data) < _MOST_BYTES:
            piece = self.read()
            if not piece:  # that it is closed shows with the next `read`, too
                break
            data += piece
        return bytes(data)

    def send(self, data: bytes) -> None:
        """Send a message; that the engine is gone shows when it is read from."""
        if self._socket is None:
            return
        try:
            self._socket.settimeout(_SEND_TIMEOUT)
            self._socket.sendall(data)
            self._socket.setblocking(False)
            self._hurry(self._socket)
        except OSError as error:
            _log.debug("the IMD server does not listen: %s", error)
            self._socket.setblocking(False)

    @staticmethod
    def _hurry(line: socket.socket) -> None:
        """Confirm by TCP at once what comes; Linux forgets it with each call.

        Else an engine without TCP_NODELAY holds its frames back for 40 ms, and loses
        them where it ends with a command of ours that it has not read.
        """
        if hasattr(socket, "TCP_QUICKACK"):
            with contextlib.suppress(OSError):  # it is gone, which shows when read from
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _complain(self, error: OSError) -> None:
        now = self._clock()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_INTERVAL
            _log.info(
                "no engine waits for a client of IMD at %s (%s); trying again",
                self.address,
                error.strerror or error,
            )
