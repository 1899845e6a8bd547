"""Service: the loop between an engine, the evaluator and the journal.

One thread, no torch. It polls the source only while it has credit left: waiting is the
only back-pressure, and it works for every engine. A frame is acknowledged when its
record is safe on disk, and not before.

    source ──Arrived──► place ──► evaluator ──► journal ──► sync ──► acknowledge
                                                   └──► fold ──► spectrum.h5
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import zmq

from mimyria.diagnostics import report
from mimyria.errors import EngineError, JournalError, LockedError, MimyriaError
from mimyria_driver.assembly import build_source
from mimyria_driver.evaluator import Evaluator
from mimyria_driver.journal import Journal
from mimyria_driver.keeping import Keeper
from mimyria_driver.monitor import Monitor, Snapshot
from mimyria_driver.ownership import Ownership
from mimyria_driver.results import make_exit_file, try_plots
from mimyria_driver.session import JOURNAL_NAME, Pending, Session
from mimyria_driver.settings import Settings
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import (
    Arrived,
    Ended,
    Event,
    RunDescription,
    Source,
    Started,
)

__all__ = ["EXIT_NAME", "STOPPED", "Service", "build_source", "run"]

EXIT_NAME: Final = "EXIT"
"""A file of this name in the run folder ends the run, as in i-PI."""

STOPPED: Final = 75
"""Exit code of a run that a signal stopped before its end: start it again."""

_TICK: Final = 0.2
_SHORT: Final = 0.02
_DRAIN_SECONDS: Final = 5.0
_BATCHES: Final = 2
"""Batches with the evaluator: one is calculated while the next one travels."""

_log = logging.getLogger(__name__)


class Service:
    """One run of the driver; use it once."""

    def __init__(
        self,
        settings: Settings,
        make_source: Callable[[], Source],
        monitor: Monitor,
        stop: StopRequest,
        make_evaluator: Callable[[Path], Evaluator] | None = None,
    ) -> None:
        """Take the run folder, open the source, start the evaluator.

        In this order: a second driver would otherwise take the socket of the first.

        Args:
            settings: of the run.
            make_source: opens where frames come from; `run` closes it.
            monitor: shows what goes on; closed by `run`.
            stop: tells when to end before the end.
            make_evaluator: makes another evaluator than that of the settings, from the
                path of its log.

        Raises:
            LockedError: another driver has the run folder.
            JournalError: the run folder cannot be used, or its journal is damaged.
            SettingsError: the source cannot be opened.
        """
        directory = settings.run.directory
        self._settings = settings
        self._monitor = monitor
        self._stop = stop
        self._journal: Journal | None = None
        self._session: Session | None = None
        self._waiting: deque[Pending] = deque()  # not yet with the evaluator
        self._submitted: deque[Pending] = deque()
        self._state = "loading"
        self._message = ""
        self._received = 0
        self._busy_source = True
        self._described = False
        self._failure: MimyriaError | None = None
        self._last_arrival = time.monotonic()
        self._ownership = Ownership.take(directory)
        self._keeper = Keeper(
            directory,
            settings.spectrum.refresh,
            lambda step: self._source.acknowledge(step),
        )
        path = directory / JOURNAL_NAME
        log_path = directory / "evaluator.log"
        try:
            if path.exists():
                self._journal = Journal.open(path, anew=self._ownership.taken_over)
                self._journal.guard = self._ownership.check
            self._source = make_source()
            self._evaluator = (
                make_evaluator(log_path)
                if make_evaluator
                else Evaluator(settings.models, log_path)
            )
        except BaseException:
            self._release()
            raise

    def run(self) -> int:
        """Serve until the engine's run is over, or a signal comes.

        Returns:
            0 at the end of the run, `STOPPED` after a signal.

        Raises:
            MimyriaError: what made it end; all frames before are safe, and the result
                is written.
        """
        try:
            try:
                self._load()
                self._serve()
                self._drain()
            except MimyriaError as error:
                self._failure = self._failure or error
            self._finish()
        finally:
            self._evaluator.close()
            self._source.close(coming_back=self._state == "stopped")
            self._release()
            self._monitor.close()
        if self._failure is not None:
            raise self._failure
        return STOPPED if self._state == "stopped" else 0

    @property
    def _at_work(self) -> int:
        return len(self._waiting) + len(self._submitted)

    @property
    def _in_flight(self) -> int:
        return self._at_work + len(self._keeper.evaluated)

    @property
    def _has_room(self) -> bool:
        return self._in_flight < self._settings.run.credit

    def _load(self) -> None:
        """Until the networks are there; no engine is spoken to before."""
        while self._evaluator.ready is None and not self._stopping():
            self._poll(listen=False, timeout=_TICK)
            self._evaluator.results()
            self._monitor.tick(self._snapshot)
        self._last_arrival = time.monotonic()
        if self._state == "loading":
            self._state = "waiting"

    def _serve(self) -> None:
        """Until the run is over or has to end."""
        while self._state in ("waiting", "running") and not self._stopping():
            quiet = self._journal is None or not self._journal.unsynced
            self._poll(listen=self._has_room, timeout=_TICK if quiet else _SHORT)
            arrived = self._has_room and self._receive()
            self._advance(idle=not arrived)
            self._check_patience()

    def _drain(self) -> None:
        """Finish the frames that have arrived; a signal grants them a few seconds."""
        if self._state == "running":
            self._state = "draining"
        deadline = (
            time.monotonic() + _DRAIN_SECONDS if self._state == "stopped" else None
        )
        while self._in_flight or self._keeper.waits:
            only_room = self._keeper.waits and not self._at_work
            if only_room and (self._state == "stopped" or self._stopping()):
                break  # who wants the end does not wait for room
            late = deadline is not None and time.monotonic() > deadline
            if late or self._stop.urgent:
                _log.warning("%d frames were not finished", self._in_flight)
                break
            self._poll(listen=False, timeout=_SHORT)
            self._advance(idle=False)

    def _poll(self, *, listen: bool, timeout: float) -> None:
        """Wait until something can be done, at most `timeout` seconds."""
        self._ownership.renew()
        poller = zmq.Poller()
        events = zmq.POLLIN | (zmq.POLLOUT if self._evaluator.wants_write else 0)
        poller.register(self._evaluator.pollable, events)
        pollable = self._source.pollable if listen else None
        if pollable is not None:
            poller.register(pollable, zmq.POLLIN)
        elif listen and self._busy_source and self._state == "running":
            timeout = 0.0  # there is nothing to wait on, and there may be more
        poller.poll(round(1000 * timeout))

    def _receive(self) -> bool:
        """Take what the source has; frames before a bad one are kept."""
        events: list[Event] = []
        try:
            events = self._source.receive()
            self._busy_source = bool(events)
            for event in events:
                if isinstance(event, Started):
                    self._start(event.description)
                elif isinstance(event, Arrived):
                    self._arrive(event)
                else:
                    self._end(event)
        except MimyriaError as error:
            self._fail(error)
        return bool(events)

    def _start(self, description: RunDescription) -> None:
        try:
            if self._session is None:
                assert self._evaluator.ready is not None
                self._session = Session(
                    self._settings,
                    description,
                    self._evaluator.ready["models"],
                    self._journal,
                )
                self._journal = self._session.journal
                self._journal.guard = self._ownership.check
            else:
                self._session.resume(description)
        except MimyriaError as error:
            self._source.refuse(str(error))
            raise
        self._state = "running"
        self._last_arrival = time.monotonic()
        self._source.accept(self._session.journal.durable_step)
        _log.info("%s, %d atoms", description.engine, len(description.numbers))

    def _arrive(self, arrived: Arrived) -> None:
        assert self._session is not None
        self._received += 1
        self._last_arrival = time.monotonic()
        pending = self._session.place(arrived)
        if pending is not None:
            self._describe(self._session)
            self._waiting.append(pending)
        elif arrived.frame.step <= self._session.journal.durable_step:
            self._source.acknowledge(self._session.journal.durable_step)

    def _describe(self, session: Session) -> None:
        """Tell the evaluator, once, the groups that the first frame has settled."""
        if session.grouping is not None and not self._described:
            self._evaluator.describe(session.grouping)
            self._described = True

    def _end(self, ended: Ended) -> None:
        self._message = ended.reason
        self._state = "draining"

    def _converged(self, reason: str) -> None:
        """End the run here: frames that were not kept belong to no result."""
        self._waiting.clear()
        self._submitted.clear()
        self._keeper.evaluated.clear()
        self._message = reason
        self._state = "ended"

    def _fail(self, error: MimyriaError) -> None:
        self._failure = error
        self._message = str(error)
        self._state = "draining"

    def _advance(self, *, idle: bool) -> None:
        """Everything but the source: evaluate, keep, sync, acknowledge, show."""
        session = self._session
        samples = self._evaluator.results()
        # Keep the evaluator busy before anything else is done with its answers.
        while self._waiting and self._evaluator.n_batches < _BATCHES:
            size = min(self._settings.models.batch, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            self._submitted.extend(batch)
            self._evaluator.submit([pending.frame for pending in batch])
        if session is not None:
            for sample in samples:
                self._keeper.evaluated.append((self._submitted.popleft(), sample))
            self._keeper.keep(session)
            if session.progress.reason and self._state == "running":
                self._converged(session.progress.reason)
            if session.sync_due(idle=idle and not self._in_flight):
                self._keeper.sync(session)
            self._keeper.publish(session)
            self._keeper.save_snapshot(session)
        self._monitor.tick(self._snapshot)

    def _stopping(self) -> bool:
        """Whether somebody asked for the end; remembers it as the state."""
        exit_file = self._settings.run.directory / EXIT_NAME
        if exit_file.exists():
            exit_file.unlink(missing_ok=True)
            self._message = "ended by the file EXIT"
            self._state = "draining"
            return True
        if self._stop.signal_name is None:
            return False
        self._message = f"stopped by {self._stop.signal_name}; start again to continue"
        self._state = "stopped"
        return True

    def _check_patience(self) -> None:
        patience = self._settings.run.patience
        if self._keeper.waits:
            self._last_arrival = time.monotonic()  # it is we who let the engine wait
        silence = time.monotonic() - self._last_arrival
        if patience and not self._in_flight and silence > patience:
            raise EngineError(
                f"no frame came for {silence:.0f} s (run.patience is {patience:g} s). "
                "Look at the engine, then start again; all frames so far are safe."
            )

    def _finish(self) -> None:
        """Make all durable, say so to the engine, write the result."""
        if self._failure is not None:
            self._state = "failed"
            self._message = str(self._failure)
        elif self._state != "stopped":
            self._state = "ended"
        try:
            self._conclude()
        except MimyriaError as error:
            self._failure = self._failure or error
        if isinstance(self._failure, LockedError):
            return  # the folder is another's
        self._monitor.tick(self._snapshot, force=True)
        if self._session is not None:
            self._monitor.say(report(self._session.diagnostics))

    def _conclude(self) -> None:
        session = self._session
        if session is None or isinstance(self._failure, JournalError):
            return
        stopped = self._state == "stopped"
        if not self._keeper.settle(session, coming_back=stopped):
            return
        path = self._keeper.write_last(session, self._state)
        if path is not None and self._settings.spectrum.plots:
            try_plots(path)
        exit_file = self._settings.convergence.exit_file
        if exit_file is not None and session.progress.reason:
            make_exit_file(exit_file)

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._keeper.close()
        self._ownership.release()

    def _snapshot(self) -> Snapshot:
        self._ownership.check()  # what is shown is written into the folder
        ready = self._evaluator.ready
        snapshot = Snapshot(
            state="disk full" if self._keeper.waits else self._state,
            received=self._received,
            restarts=self._evaluator.restarts,
            device="" if ready is None else str(ready["device"]),
            message=self._keeper.waits or self._message,
            progress=getattr(self._source, "progress", None),
        )
        if self._session is None:
            return snapshot
        return self._session.show(snapshot, self._in_flight)


def run(settings: Settings, *, source: Source | None = None) -> int:
    """Run the service as the command does, with signals and a view of the progress.

    Args:
        settings: of the run.
        source: another source than that of the settings.

    Returns:
        The exit code: 0, or `STOPPED`.

    Raises:
        MimyriaError: why the run ended; its `exit_code` is that of the command.
    """
    monitor = Monitor(settings.run.directory, report=settings.run.report)

    def make_source() -> Source:
        return build_source(settings) if source is None else source

    with StopRequest() as stop:
        return Service(settings, make_source, monitor, stop).run()
