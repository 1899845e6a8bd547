"""Where i-PI listens, and a socket that is connected to it."""

from __future__ import annotations

import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import Final

from mimyria.errors import AccessError, SettingsError

__all__ = ["Address", "connect", "parse_address", "remove_stale_socket"]

_CONNECT_TIMEOUT: Final = 1.0  # s


@dataclass(frozen=True, slots=True)
class Address:
    """Where i-PI listens.

    Attributes:
        path: of a unix socket, or None.
        host: of a TCP socket.
        port: of a TCP socket.
    """

    path: str | None
    host: str = ""
    port: int = 0


def parse_address(text: str) -> Address:
    """The address in `unix:NAME`, `unix:/PATH`, `tcp:HOST:PORT` or `HOST:PORT`.

    `unix:NAME` is what i-PI makes of `<address>NAME</address>`: /tmp/ipi_NAME.

    Raises:
        SettingsError: none of these.
    """
    scheme, colon, rest = text.partition(":")
    rest = rest.removeprefix("//")
    if scheme == "unix" and rest:
        return Address(rest if rest.startswith("/") else f"/tmp/ipi_{rest}")
    host, _, port = (rest if scheme == "tcp" else text).rpartition(":")
    if colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
        return Address(None, host.strip("[]"), int(port))
    raise SettingsError(
        f"The address of i-PI must be unix:NAME, unix:/PATH or HOST:PORT, but is "
        f"'{text}'."
    )


def connect(address: Address) -> socket.socket:
    """A connected socket that never blocks.

    Raises:
        OSError: nobody listens there.
        AccessError: someone else listens there.
    """
    if address.path is None:
        found = socket.create_connection((address.host, address.port), _CONNECT_TIMEOUT)
        # The replies are small and each is waited for.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.settimeout(_CONNECT_TIMEOUT)
            found.connect(address.path)
            _check_owner(found, address.path)
        except BaseException:
            found.close()
            raise
    found.setblocking(False)
    return found


def remove_stale_socket(address: Address) -> bool:
    """Remove the socket of an i-PI that was killed, which a new one stumbles over.

    Only a socket of our own user; the caller knows that nobody listens there.

    Returns:
        Whether it was removed.
    """
    if address.path is None:
        return False
    try:
        found = os.lstat(address.path)
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            return False
        os.unlink(address.path)
    except OSError:
        return False
    return True


def _check_owner(connected: socket.socket, path: str) -> None:
    """Refuse a unix socket in /tmp that another user has put there."""
    if not hasattr(socket, "SO_PEERCRED"):
        return
    size = struct.calcsize("3i")
    raw = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, owner, _ = struct.unpack("3i", raw)
    if owner not in (os.geteuid(), 0):
        raise AccessError(
            f"The socket {path} belongs to the user {owner}, not to you. Choose "
            "another <address> for i-PI."
        )
