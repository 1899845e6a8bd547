"""Course: what is known only to who has watched for a while.

Rates over minutes and hours, how long nothing has moved, when the disk will be full.
Wall-clock times are for people alone; every duration is on the monotonic clock.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from mimyria.storage import RESULT_NAME
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.surroundings import (
    Surroundings,
    folder_bytes,
    free_bytes,
    own_size,
)

__all__ = ["Course"]

_RATE_SECONDS: Final = 15.0
_WINDOWS: Final = {"1min": 60.0, "10min": 600.0, "60min": 3600.0}
_HOUR: Final = 3600.0
_DAY: Final = 86400.0
_LEAST_STEP: Final = 1.0
_FINE_SECONDS: Final = 60.0
_OLD_STEP: Final = 15.0
"""Between moments of more than a minute ago: what an hour fills is then little."""
_DISK_SECONDS: Final = 600.0
_LEAST_SECONDS: Final = 60.0
"""What a run does in its first seconds says nothing about its days."""
_PS_PER_NS: Final = 1000.0
_JOURNALS: Final = ("journal*", "replicas/*/journal*")


class Trend:
    """A number over time, remembered for an hour: the last minute finely."""

    def __init__(self) -> None:
        """No value yet."""
        self._points: deque[tuple[float, float]] = deque()
        self._old: deque[tuple[float, float]] = deque()

    def __len__(self) -> int:
        """Moments that are remembered."""
        return len(self._old) + len(self._points)

    def add(self, now: float, value: float) -> None:
        """Take in the value of this moment; a second apart is enough."""
        points, old = self._points, self._old
        if not points or now - points[-1][0] >= _LEAST_STEP:
            points.append((now, value))
        while len(points) > 2 and now - points[0][0] > _FINE_SECONDS:
            point = points.popleft()
            if not old or point[0] - old[-1][0] >= _OLD_STEP:
                old.append(point)
        while len(old) > 1 and now - old[0][0] > _HOUR:
            old.popleft()

    def clear(self) -> None:
        """Forget what was."""
        self._points.clear()
        self._old.clear()

    def per_second(self, now: float, value: float, window: float) -> float:
        """Mean growth over the last seconds, or over all there is if that is less."""
        first = self._points[-1] if self._points else (now, value)
        for point in itertools.chain(reversed(self._points), reversed(self._old)):
            if now - point[0] > window:
                break
            first = point
        elapsed = now - first[0]
        return (value - first[1]) / elapsed if elapsed > 0 else 0.0

    def span(self, now: float) -> float:
        """How long it has been watched, s."""
        oldest = self._old or self._points
        return now - oldest[0][0] if oldest else 0.0


class Course:
    """Watches the snapshots of one driver."""

    def __init__(self, directory: Path, surroundings: Surroundings) -> None:
        """Begin to watch.

        Args:
            directory: the run folder.
            surroundings: of this process.
        """
        self._directory = directory
        self._surroundings = surroundings
        self._state = ""
        self._durable = -1
        self._since = self._moved_at = self._started = time.monotonic()
        self._frames = Trend()
        self._journal = Trend()
        self._free = Trend()
        self._restarts: deque[float] = deque()
        self._n_restarts = 0

    def look(self, now: float, snapshot: Snapshot) -> float:
        """Take in a snapshot; returns the present rate in frames per second."""
        if snapshot.state != self._state:
            self._state = snapshot.state
            self._since = self._moved_at = now
            if snapshot.state == "running":
                self._frames.clear()  # the rate is that of the run, not of the wait
        if snapshot.durable != self._durable:
            self._durable = snapshot.durable
            self._moved_at = now
        self._restarts.extend([now] * (snapshot.restarts - self._n_restarts))
        self._n_restarts = snapshot.restarts
        while self._restarts and now - self._restarts[0] > _HOUR:
            self._restarts.popleft()
        self._frames.add(now, snapshot.durable)
        return self._rate(now, snapshot, _RATE_SECONDS)

    def facts(self, now: float, snapshot: Snapshot) -> dict[str, Any]:
        """What to add to the snapshot in a status."""
        rate = self._rate(now, snapshot, _RATE_SECONDS)
        wall = time.time()
        memory, files = own_size()
        return {
            "time": wall,
            "mono": now,
            "since": wall - (now - self._since),
            "started": wall - (now - self._started),
            "rate": rate,
            "rates": {
                name: self._rate(now, snapshot, window)
                for name, window in _WINDOWS.items()
            },
            "time_per_day": _time_per_day(snapshot, rate),
            "lag_seconds": snapshot.in_flight / rate if rate > 0 else None,
            "target_seconds": snapshot.seconds_to_target(rate),
            "progress_age": now - self._moved_at,
            "restarts_last_hour": len(self._restarts),
            "result_age": self._result_age(wall),
            "memory_bytes": memory,
            "open_files": files,
            **self._disk(now),
            **self._place(now),
        }

    def _rate(self, now: float, snapshot: Snapshot, window: float) -> float:
        return max(0.0, self._frames.per_second(now, snapshot.durable, window))

    def _disk(self, now: float) -> dict[str, Any]:
        """Size of the journal, room left, and how long that lasts."""
        journal = sum(folder_bytes(self._directory, each) for each in _JOURNALS)
        free = free_bytes(self._directory)
        self._journal.add(now, journal)
        loss = 0.0
        if self._journal.span(now) >= _LEAST_SECONDS:
            loss = self._journal.per_second(now, journal, _DISK_SECONDS)
        if free is not None:
            self._free.add(now, free)
            # Others write to the disk, too; a few minutes would say little of them.
            if self._free.span(now) >= _DISK_SECONDS:
                loss = max(loss, -self._free.per_second(now, free, _HOUR))
        hours = free / loss / _HOUR if free is not None and loss > 0 else None
        return {
            "journal_bytes": journal,
            "disk": {"free_bytes": free, "hours_to_full": hours},
        }

    def _place(self, now: float) -> dict[str, Any]:
        here = self._surroundings
        left = None if here.job_over is None else here.job_over - now
        job = {"id": here.job, "restarts": here.job_restarts, "seconds_left": left}
        return {
            "host": here.host,
            "process": here.process,
            "boot": here.boot,
            "job": None if here.job is None else job,
        }

    def _result_age(self, wall: float) -> float | None:
        with contextlib.suppress(OSError):
            written = (self._directory / RESULT_NAME).stat().st_mtime
            return max(0.0, wall - written)
        return None


def _time_per_day(snapshot: Snapshot, rate: float) -> float | None:
    """Simulated time in a day of the clock, ns."""
    if not snapshot.durable:
        return None
    return snapshot.sampled / snapshot.durable * rate * _DAY / _PS_PER_NS
