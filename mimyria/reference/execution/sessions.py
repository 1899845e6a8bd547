"""A task's process with all it has started: one session, which ends as a whole."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["end_session", "session_members"]

_TRIES = 100  # a member may start another one while we look


def end_session(leader: int) -> None:
    """Kill every process of a session, the caller last if it is one of them.

    A process group is not enough: an MPI launcher gives each rank a group of its own.
    Where there is no /proc the group is all that can be found.

    Args:
        leader: process id of the one that began the session.
    """
    for _ in range(_TRIES):
        others = [pid for pid in session_members(leader) if pid != os.getpid()]
        for pid in others:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not others:
            break
        time.sleep(0.01)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def session_members(leader: int) -> list[int]:
    """Process ids of a session that are alive, as far as the system tells."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            # The name in brackets may hold anything, so count from the last bracket.
            state, _, _, session, *_ = (
                (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            )
            if int(session) == leader and state not in "ZX":
                members.append(int(folder.name))
    return members
