"""History: rate and lag over the time that a run has been watched."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["History"]

_MOST: Final = 240


class History:
    """What the statuses so far have said.

    Attributes:
        rates: frames per second between one status and the next.
        lags: frames under way.
    """

    def __init__(self) -> None:
        """Nothing was seen."""
        self.rates: deque[float] = deque(maxlen=_MOST)
        self.lags: deque[float] = deque(maxlen=_MOST)
        self._seen: tuple[float, int, Any] | None = None

    def add(self, status: Mapping[str, Any]) -> None:
        """Take in a status; one that was seen before, or of no run, changes nothing."""
        mono, durable = status.get("mono"), status.get("durable", 0)
        if mono is None or status.get("state") != "running":
            self._seen = None
            return
        now = (float(mono), int(durable), status.get("process"))
        before, self._seen = self._seen, now
        if before is None or now[2] != before[2] or now[0] < before[0]:
            return  # another driver has another clock
        if now[0] == before[0]:
            self._seen = before
            return
        self.rates.append(max(0, now[1] - before[1]) / (now[0] - before[0]))
        self.lags.append(float(status.get("in_flight", 0)))
