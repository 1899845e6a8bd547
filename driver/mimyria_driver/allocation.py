"""Allocation: what is large and short-lived goes back to the system at once.

A result or a snapshot is made from megabytes that are needed for a part of a second.
The C library takes them from the heap once it has seen a few, and keeps the heap as
long as anything small lies behind them: the memory of a run of days then goes up and
down by megabytes, and up for good where holes do not fit. With a fixed border between
small and large it stays where it was. Only a process that is all ours may set this.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["return_large_blocks"]

_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 1 << 18
"""Bytes from which a block gets pages of its own."""


def return_large_blocks() -> bool:
    """From now on blocks of 256 KiB or more live outside the heap.

    Returns:
        Whether the C library knows of this; glibc does, others need not.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE))
