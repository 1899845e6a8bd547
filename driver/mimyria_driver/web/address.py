"""Address: the port and the token of a page, which make its link.

The port is at the loopback; the token lies in the run folder, so that links stay valid
when a server is started again.
"""

from __future__ import annotations

import re
import secrets
import socket
from pathlib import Path
from typing import Final

from mimyria_driver.privatefiles import create_private, read_private

__all__ = ["TOKEN_NAME", "link_of", "open_port", "take_token"]

TOKEN_NAME: Final = "web.token"
"""In the run folder, for its owner alone: the links of a run stay the same."""

_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
_LOOPBACK: Final = "127.0.0.1"
_WAITING: Final = 64


def take_token(directory: Path) -> str:
    """The token of a run folder; made where there is none.

    A folder that cannot be written in has none: then it lasts as long as the server.

    Raises:
        SettingsError: other users could read or exchange its file.
    """
    path = directory / TOKEN_NAME
    fresh = secrets.token_hex(32)
    try:
        create_private(path, fresh + "\n")
    except FileExistsError:
        found = read_private(path).strip()
        return found if _TOKEN.fullmatch(found) else fresh
    except OSError:
        pass
    return fresh


def open_port(port: int) -> socket.socket:
    """A listening socket at the loopback; at any port where that one is taken.

    Args:
        port: the wish; 0: any.

    Raises:
        OSError: there is none at all.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_LOOPBACK, port))
        except OSError:
            listener.bind((_LOOPBACK, 0))
        listener.listen(_WAITING)
    except OSError:
        listener.close()
        raise
    return listener


def link_of(listener: socket.socket, token: str) -> str:
    """What to open in a browser; it holds the token."""
    return f"http://{_LOOPBACK}:{listener.getsockname()[1]}/?token={token}"
