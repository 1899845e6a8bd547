"""Durations: how long things take, as quantiles and as a histogram."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["Durations"]

_BORDERS: Final = (
    1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
)  # fmt: skip
"""Upper borders of the histogram in s, the same for ever: plots rely on them."""


class Durations:
    """Counts all, remembers the last ones.

    Attributes:
        count: of all.
        total: sum of all, s.
    """

    def __init__(self, recent: int = 1000) -> None:
        """None yet.

        Args:
            recent: so many are remembered for quantiles.
        """
        self.count = 0
        self.total = 0.0
        self._recent: deque[float] = deque(maxlen=recent)
        self._bins = [0] * len(_BORDERS)

    def __len__(self) -> int:
        """Number of those that are remembered."""
        return len(self._recent)

    def __iter__(self) -> Iterator[float]:
        """Those that are remembered."""
        return iter(self._recent)

    def append(self, seconds: float) -> None:
        """Take one in."""
        self.count += 1
        self.total += seconds
        self._recent.append(seconds)
        for index, border in enumerate(_BORDERS):
            if seconds <= border:
                self._bins[index] += 1
                break

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Take in how long the block takes."""
        begun = time.monotonic()
        yield
        self.append(time.monotonic() - begun)

    def summary(self) -> dict[str, Any]:
        """All in plain values: `count`, `sum`, `p50`, `p99`, `buckets` (cumulative)."""
        ordered = sorted(self._recent)
        buckets, below = [], 0
        for border, number in zip(_BORDERS, self._bins, strict=True):
            below += number
            buckets.append([border, below])
        return {
            "count": self.count,
            "sum": self.total,
            "p50": _quantile(ordered, 0.5),
            "p99": _quantile(ordered, 0.99),
            "buckets": buckets,
        }


def _quantile(ordered: list[float], part: float) -> float | None:
    if not ordered:
        return None
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
