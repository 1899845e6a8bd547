"""systemd: tells the service manager that the driver is ready, alive, and doing what.

The watchdog is fed by progress: frames that become durable, or nothing to do. A driver
that turns without getting anywhere is not fed, and is started again.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from mimyria_driver.snapshot import FINAL
from mimyria_driver.views import describe_status

__all__ = ["Notifier"]


class Notifier:
    """Speaks to the socket that systemd names, if there is one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Nothing is said yet."""
        # A name that begins with @ is in no folder.
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        self._ready = False
        self._last: tuple[object, ...] = ()

    def __call__(self, status: Mapping[str, Any]) -> None:
        """Say what a status means."""
        if not self._address:
            return
        state = status["state"]
        lines = []
        if not self._ready and state in ("waiting", "running"):
            self._ready = True
            lines.append("READY=1")
        if state in FINAL:
            lines.append("STOPPING=1")
        if self._moves(status):
            lines.append("WATCHDOG=1")
        shown = describe_status({**status, "age": 0.0, "stale": False})
        self._say([*lines, f"STATUS={shown}"])

    def _moves(self, status: Mapping[str, Any]) -> bool:
        """Whether anything was done since the last time, or nothing is to be done."""
        present = tuple(
            status[name]
            for name in ("state", "durable", "step", "restarts", "evaluated")
        )
        moved = present != self._last
        self._last = present
        busy = status["state"] in ("running", "draining") and status["in_flight"]
        return moved or not busy

    def _say(self, lines: list[str]) -> None:
        with (
            contextlib.suppress(OSError),
            socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
            ) as speaker,
        ):
            speaker.setblocking(False)
            speaker.sendto("\n".join(lines).encode(), self._address)
