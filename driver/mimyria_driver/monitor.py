"""Monitor: what people and job scripts see of a running driver.

It gets a snapshot of plain numbers and shows it: a table on a terminal, a line now and
then elsewhere, and `status.json`, complete at every moment. It decides nothing, and a
monitor that fails to write never ends a run; but into a folder that is another's by now
it writes nothing, and says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from mimyria import __version__
from mimyria.errors import LockedError, one_line
from mimyria_driver.conditions import Limits, conditions
from mimyria_driver.course import Course
from mimyria_driver.events import EventLog
from mimyria_driver.ownership import no_guard
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.status import (
    SCHEMA_VERSION,
    STATUS_NAME,
    read_status,
    write_status,
)
from mimyria_driver.surroundings import Surroundings
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

_log = logging.getLogger(__name__)


class _Console(Console):
    """A console whose reader may go, as with `| head`; rich would end the process."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Monitor:
    """Shows snapshots; asks for one only when it is due.

    Attributes:
        state: the last one that was shown.
    """

    def __init__(
        self,
        directory: Path,
        *,
        report: float = 10.0,
        console: Console | None = None,
        events: EventLog | None = None,
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        watchers: Sequence[Callable[[dict[str, Any]], None]] = (),
    ) -> None:
        """Nothing is shown before the first `tick`.

        Args:
            directory: run folder, which must exist when the first tick comes.
            report: seconds between two lines where there is no terminal.
            console: where to show; by default stderr.
            events: what has happened, for the status.
            limits: where something is not as it should be.
            watchers: called with each status that is written.
        """
        self.state = ""
        self._directory = directory
        self._events = events
        self._limits = limits
        self._watchers = watchers
        self._course = Course(directory, Surroundings.look())
        self._facts: dict[str, Any] = {}
        self._console = console or _Console(stderr=True)
        self._terminal = self._console.is_terminal
        self._report = _REDRAW_SECONDS if self._terminal else report
        self._live: Live | None = None
        self._next_report = 0.0
        self._next_status = 0.0
        self._failed: set[str] = set()  # what is not shown now
        self._guard: Callable[[], None] = no_guard

    def begin(self, guard: Callable[[], None] = no_guard) -> None:
        """The run folder is ours from now on.

        Args:
            guard: raises once it is another's.
        """
        self._guard = guard
        if self._events is not None:
            self._events.start(guard)

    def tick(self, snapshot: Callable[[], Snapshot], *, force: bool = False) -> None:
        """Show the present state, if it is time to.

        Args:
            snapshot: makes the snapshot.
            force: show it in any case, as at the end.

        Raises:
            MimyriaError: of the guard.
        """
        now = time.monotonic()
        if not force and now < min(self._next_report, self._next_status):
            return
        self._guard()
        present = snapshot()
        changed = present.state != self.state
        rate = self._course.look(now, present)
        self.state = present.state
        if force or changed or now >= self._next_status:
            self._next_status = now + _STATUS_SECONDS
            self._publish(now, present)
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

    def _publish(self, now: float, snapshot: Snapshot) -> None:
        """Write the status, and hand it to those who watch; none can end a run."""
        status = self._compose(now, snapshot)
        self._try(
            STATUS_NAME, partial(write_status, self._directory, status, self._guard)
        )
        self._facts = status
        for watcher in self._watchers:
            self._try(type(watcher).__name__, partial(watcher, status))

    def _try(self, name: str, show: Callable[[], object]) -> None:
        """Not worth a run, whatever it raises, and said once until it works again."""
        try:
            show()
        except LockedError:
            raise  # what there is to see is another driver's
        except Exception as error:
            if name not in self._failed:
                _log.warning("%s: could not be written: %s", name, one_line(error))
            self._failed.add(name)
        else:
            self._failed.discard(name)

    def _compose(self, now: float, snapshot: Snapshot) -> dict[str, Any]:
        status = {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            **dataclasses.asdict(snapshot),
            **self._course.facts(now, snapshot),
            "warnings": [] if self._events is None else list(self._events.warnings),
            "events": {} if self._events is None else dict(self._events.counts),
        }
        if snapshot.replicas is None:
            del status["replicas"]
        status["conditions"] = conditions(status, self._limits)
        return status

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
        self._live.update(table(snapshot, rate, self._facts), refresh=True)
