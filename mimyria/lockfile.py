"""Lock file: a folder is one process's own, and others can see that it is.

The lock goes with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["hold_lock", "is_locked"]

_GLANCES: Final = 100  # at a lock that `is_locked` may hold for a moment
_PAUSE: Final = 0.01  # s between two of them


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Whether the lock is ours as long as the block lasts.

    Whoever only looks (`is_locked`) holds it for an instant, so one look is not enough.
    """
    with path.open("w") as file:
        yield _is_taken(file.fileno())


def _is_taken(descriptor: int) -> bool:
    for glance in range(_GLANCES):
        if glance:
            time.sleep(_PAUSE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock now."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
