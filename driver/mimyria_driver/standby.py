"""Standby: a second driver that waits until the first one is gone.

It knows the lock of a run folder and time. Engines wait for a driver in any case, so
that the one that takes over misses nothing.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["wait_for_folder"]

_PAUSE: Final = 0.25  # s between two looks


def wait_for_folder(folder: Path, is_over: Callable[[], bool]) -> bool:
    """Wait until nobody writes in a run folder; it is not taken here.

    Args:
        folder: of the run.
        is_over: whether to give up.

    Returns:
        Whether the folder is free.
    """
    while not is_over():
        try:
            descriptor = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
        finally:
            os.close(descriptor)
    return False
