"""Timed source: a source, and how long its frames take until they are safe on disk."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from mimyria_driver.durations import Durations
from mimyria_driver.sources import Arrived, Event, Source

__all__ = ["TimedSource"]

_UNDER_WAY: Final = 10_000


class TimedSource:
    """Passes everything on.

    Attributes:
        seconds: from the arrival of a frame until it is acknowledged.
    """

    def __init__(self, source: Source) -> None:
        """Stand in front of a source."""
        self.seconds = Durations()
        self._source = source
        self._arrived: deque[tuple[int, float]] = deque(maxlen=_UNDER_WAY)

    @property
    def pollable(self) -> object | None:
        """That of the source."""
        return self._source.pollable

    @property
    def progress(self) -> float | None:
        """Part of a trajectory that was read; None: not known."""
        progress: float | None = getattr(self._source, "progress", None)
        return progress

    @property
    def alive(self) -> bool | None:
        """Whether the engine is there; None: not known."""
        alive: bool | None = getattr(self._source, "alive", None)
        return alive

    def receive(self) -> list[Event]:
        """All events that are there now."""
        events = self._source.receive()
        now = time.monotonic()
        for event in events:
            if isinstance(event, Arrived):
                self._arrived.append((event.frame.step, now))
        return events

    def accept(self, durable_step: int) -> None:
        """The run goes on after a step."""
        self._arrived.clear()
        self._source.accept(durable_step)

    def refuse(self, reason: str) -> None:
        """The run cannot be served."""
        self._source.refuse(reason)

    def acknowledge(self, step: int) -> None:
        """Every frame up to a step is safe."""
        now = time.monotonic()
        while self._arrived and self._arrived[0][0] <= step:
            self.seconds.append(now - self._arrived.popleft()[1])
        self._source.acknowledge(step)

    def close(self, *, coming_back: bool = False) -> None:
        """Release the socket."""
        self._source.close(coming_back=coming_back)
