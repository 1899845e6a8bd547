"""Notices: what may happen a thousand times a second is said once a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Notices"]

_INTERVAL: Final = 60.0


class Notices:
    """When to say something again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing was said yet.

        Args:
            clock: seconds that only grow.
        """
        self._clock = clock
        self._next = -float("inf")

    def due(self) -> bool:
        """Whether it is time; then the next minute begins."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _INTERVAL
        return True
