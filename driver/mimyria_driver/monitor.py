"""Monitor: what people and job scripts see of a running driver.

It gets a snapshot of plain numbers and shows it: a table on a terminal, a line now and
then elsewhere, and `status.json`, complete at every moment. It decides nothing, and a
monitor that fails to write never ends a run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from mimyria_driver.snapshot import Snapshot
from mimyria_driver.status import STATUS_NAME, read_status, write_status
from mimyria_driver.views import describe, describe_status, table

__all__ = [
    "STATUS_NAME",
    "Monitor",
    "Snapshot",
    "describe",
    "describe_status",
    "read_status",
]

_STATUS_SECONDS: Final = 2.0
_REDRAW_SECONDS: Final = 0.25
_RATE_SECONDS: Final = 15.0

_log = logging.getLogger(__name__)


class Monitor:
    """Shows snapshots; asks for one only when it is due."""

    def __init__(
        self,
        directory: Path,
        *,
        report: float = 10.0,
        console: Console | None = None,
    ) -> None:
        """Nothing is shown before the first `tick`.

        Args:
            directory: run folder, which must exist when the first tick comes.
            report: seconds between two lines where there is no terminal.
            console: where to show; by default stderr.
        """
        self._directory = directory
        self._console = console or Console(stderr=True)
        self._terminal = self._console.is_terminal
        self._report = _REDRAW_SECONDS if self._terminal else report
        self._live: Live | None = None
        self._next_report = 0.0
        self._next_status = 0.0
        self._state = ""
        self._history: deque[tuple[float, int]] = deque()

    def tick(self, snapshot: Callable[[], Snapshot], *, force: bool = False) -> None:
        """Show the present state, if it is time to.

        Args:
            snapshot: makes the snapshot.
            force: show it in any case, as at the end.
        """
        now = time.monotonic()
        if not force and now < min(self._next_report, self._next_status):
            return
        present = snapshot()
        changed = present.state != self._state
        if changed and present.state == "running":
            self._history.clear()  # the rate is that of the run, not of the wait
        rate = self._rate(now, present.durable)
        self._state = present.state
        if force or changed or now >= self._next_status:
            self._next_status = now + _STATUS_SECONDS
            self._write_status(present, rate)
        if force or changed or now >= self._next_report:
            self._next_report = now + self._report
            self._show(present, rate)

    def say(self, lines: Sequence[str]) -> None:
        """Print lines for people, above the view if there is one."""
        with contextlib.suppress(OSError):
            for line in lines:
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was, with the last view on it."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()
            self._live = None

    def _rate(self, now: float, durable: int) -> float:
        """Frames per second over the last seconds."""
        history = self._history
        history.append((now, durable))
        while len(history) > 2 and now - history[0][0] > _RATE_SECONDS:
            history.popleft()
        elapsed = now - history[0][0]
        return max(0.0, (durable - history[0][1]) / elapsed) if elapsed > 0 else 0.0

    def _write_status(self, snapshot: Snapshot, rate: float) -> None:
        document = {
            **dataclasses.asdict(snapshot),
            "temperature": snapshot.temperature
            if math.isfinite(snapshot.temperature)
            else None,
            "rate": rate,
            "process": os.getpid(),
            "time": time.time(),
        }
        try:
            write_status(self._directory, document)
        except OSError as error:
            # Not worth a run; the journal will notice a full disk soon enough.
            path = self._directory / STATUS_NAME
            _log.warning("%s could not be written: %s", path, error)

    def _show(self, snapshot: Snapshot, rate: float) -> None:
        """Show it; a terminal that was closed is no reason to end a run."""
        with contextlib.suppress(OSError):
            self._draw(snapshot, rate)

    def _draw(self, snapshot: Snapshot, rate: float) -> None:
        if not self._terminal:
            self._console.print(
                describe(snapshot, rate), highlight=False, markup=False, soft_wrap=True
            )
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(table(snapshot, rate), refresh=True)
