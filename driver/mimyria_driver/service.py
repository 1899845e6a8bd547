"""Service: the loop between an engine, the evaluator and the journal.

One thread, no torch. It polls the source only while it has credit left: waiting is the
only back-pressure, and it works for every engine. A frame is acknowledged when its
record is safe on disk, and not before.

    source ──Arrived──► place ──► evaluator ──► journal ──► sync ──► acknowledge
                                                   └──► fold ──► spectrum.h5
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq

from mimyria.diagnostics import report
from mimyria.errors import JournalError, LockedError, MimyriaError
from mimyria.storage import Result
from mimyria_driver.assembly import build_source
from mimyria_driver.evaluator import Evaluator, Networks
from mimyria_driver.evaluator.view import about_networks, poller_of
from mimyria_driver.folders import private_files
from mimyria_driver.hardware import note_hardware, provenance
from mimyria_driver.journal import JOURNAL_NAME, Journal
from mimyria_driver.monitor import Monitor
from mimyria_driver.operation import watched
from mimyria_driver.ownership import Ownership
from mimyria_driver.results import make_exit_file, try_plots
from mimyria_driver.runid import take_run_id
from mimyria_driver.runstate import EXIT_NAME, RunState, check_patience, no_memory
from mimyria_driver.session import Session
from mimyria_driver.settings import Settings
from mimyria_driver.sharing import Share, Sharing
from mimyria_driver.signals import STOPPED, StopRequest
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import (
    Arrived,
    Ended,
    Event,
    RunDescription,
    Source,
    Started,
)
from mimyria_driver.status import LEFT, leave_status
from mimyria_driver.timedsource import TimedSource
from mimyria_driver.underway import UnderWay

__all__ = ["EXIT_NAME", "STOPPED", "Service", "build_source", "run"]

_TICK: Final = 0.2
_SHORT: Final = 0.02
_SILENCE: Final = 0.25
"""Seconds without a frame after which a batch is not waited for any longer."""

_log = logging.getLogger(__name__)


class Service:
    """One run of the driver; use it once."""

    def __init__(
        self,
        settings: Settings,
        make_source: Callable[[], Source],
        monitor: Monitor,
        stop: StopRequest,
        make_evaluator: Callable[[Path], Networks] | None = None,
        share: Share | None = None,
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
            share: takes the result for one of many; it is then written at the end
                only, and after a signal not at all.

        Raises:
            LockedError: another driver has the run folder.
            JournalError: the run folder cannot be used, or its journal is damaged.
            SettingsError: the source cannot be opened.
        """
        directory = settings.run.directory
        self._settings = settings
        self._monitor = monitor
        self._stop = stop
        self._sharing = Sharing(directory, settings.spectrum, share)
        self._state = RunState(directory, stop)
        self._journal: Journal | None = None
        self._session: Session | None = None
        self._hardware: list[dict[str, Any]] = []
        self._received = 0
        self._busy_source = True
        self._last_arrival = time.monotonic()
        self._ownership = Ownership.take(directory)
        self._run_id = take_run_id(directory)
        monitor.begin(self._ownership.check)
        path = directory / JOURNAL_NAME
        log_path = directory / "evaluator.log"
        try:
            if path.exists():
                self._journal = Journal.open(path, anew=self._ownership.taken_over)
                self._journal.guard = self._ownership.check
            self._source = TimedSource(make_source())
            self._evaluator: Networks = (
                make_evaluator(log_path)
                if make_evaluator
                else Evaluator(settings.models, log_path)
            )
            self._work = UnderWay(
                settings,
                self._evaluator,
                self._source.acknowledge,
                self._ownership.check,
            )
        except BaseException:
            self._release()
            raise
        self._keeper = self._work.keeper
        stop.last_words += [self._evaluator.kill, self._leave]

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
                self._state.take(error)
            except MemoryError:
                self._state.take(no_memory())
            self._finish()
        finally:
            self._evaluator.close()
            self._source.close(coming_back=self._state.exit_code == STOPPED)
            if not isinstance(self._state.failure, LockedError):  # else another's
                self._work.close()
            self._release()
            self._monitor.close()
        if self._state.failure is not None:
            raise self._state.failure
        return self._state.exit_code

    def result(self) -> Result | None:
        """What is safe so far; for the thread that serves, or when that has ended."""
        session, state = self._session, self._state
        if isinstance(state.failure, JournalError):
            return None  # what is folded may not be safe
        if session is not None and not state.over:
            self._keeper.sync(session)
        return self._sharing.result(session, self._journal, state.name)

    def _load(self) -> None:
        """Until the networks are there; no engine is spoken to before."""
        while self._evaluator.ready is None and not self._state.stopping():
            self._poll(listen=False)
            self._work.advance(None, hurry=False)
            self._monitor.tick(self._snapshot)
        self._last_arrival = time.monotonic()
        if self._state.name == "loading":
            self._state.name = "waiting"
            _log.info("the networks are loaded", extra={"code": "networks_ready"})
            self._hardware = note_hardware(
                self._settings.run.directory,
                self._evaluator.ready or {},
                -1 if self._journal is None else self._journal.last_step,
            )

    def _serve(self) -> None:
        """Until the run is over or has to end."""
        state = self._state
        while state.name in ("waiting", "running") and not state.stopping():
            self._poll(listen=self._work.has_room)
            arrived = self._work.has_room and self._receive()
            self._advance(idle=not arrived)
            self._check_patience()

    def _drain(self) -> None:
        """Finish the frames that have arrived; a signal grants them a few seconds."""
        work = self._work
        if self._state.name == "running":
            self._state.name = "draining"
        while work.n_in_flight or self._keeper.waits or work.n_unchecked:
            work.check_rest()
            late = self._state.no_time_left()
            if late or (work.only_needs_room and self._state.end_wanted()):
                work.say_unfinished()
                break
            self._poll(listen=False)
            self._advance(idle=False)

    def _poll(self, *, listen: bool) -> None:
        """Wait until something can be done, shortly where records wait for a sync."""
        self._ownership.renew()
        unsynced = self._journal is not None and self._journal.unsynced
        timeout = _SHORT if unsynced else _TICK
        poller = poller_of(self._evaluator)
        pollable = self._source.pollable if listen else None
        if pollable is not None:
            poller.register(pollable, zmq.POLLIN)
        elif listen and self._busy_source and self._state.name == "running":
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
            self._state.fail(error)
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
                self._session.origin = provenance(self._hardware)
                self._journal = self._session.journal
                self._journal.guard = self._ownership.check
                self._work.begin(self._session)
            else:
                self._session.resume(description)
        except MimyriaError as error:
            self._source.refuse(str(error))
            raise
        self._state.name = "running"
        self._last_arrival = time.monotonic()
        self._source.accept(self._work.safe_step(self._session))

    def _arrive(self, arrived: Arrived) -> None:
        assert self._session is not None
        self._received += 1
        pending = self._session.place(arrived)
        # Not before: the engine is not silent while a disk begins a journal slowly.
        self._last_arrival = time.monotonic()
        if pending is not None:
            self._work.add(self._session, pending)
        else:
            self._work.acknowledge(self._session.confirmed_step)

    def _end(self, ended: Ended) -> None:
        self._state.end("draining", ended.reason)
        _log.info("%s", ended.reason, extra={"code": "engine_ended"})

    def _advance(self, *, idle: bool) -> None:
        """Everything but the source: evaluate, keep, sync, acknowledge, show."""
        session = self._session
        running = self._state.name == "running"
        silence = time.monotonic() - self._last_arrival
        nothing_comes = not running or not self._work.has_room or silence > _SILENCE
        self._work.advance(session, hurry=nothing_comes)
        if session is not None:
            if session.progress.reason and running:
                self._work.drop()
                self._state.end("ended", session.progress.reason)
            if session.sync_due(idle=idle and not self._work.n_in_flight):
                self._keeper.sync(session)
            self._keeper.publish(session)
            self._keeper.save_snapshot(session)
        if not self._keeper.waits:
            self._sharing.offer(self.result)
        self._monitor.tick(self._snapshot)

    def _check_patience(self) -> None:
        if self._keeper.waits:
            self._last_arrival = time.monotonic()  # it is we who let the engine wait
        if not self._work.n_in_flight:
            silence = time.monotonic() - self._last_arrival
            check_patience(silence, self._settings.run.patience)

    def _finish(self) -> None:
        """Make all durable, say so to the engine, write the result."""
        state = self._state
        for last in (self._conclude, self._show_end):
            state.conclude()
            try:
                last()
            except MimyriaError as error:
                state.failure = state.failure or error
            except MemoryError:
                state.failure = state.failure or no_memory()

    def _conclude(self) -> None:
        session = self._session
        if session is None or isinstance(self._state.failure, JournalError):
            return
        coming_back = self._state.exit_code == STOPPED
        if not self._work.settle(session, coming_back=coming_back):
            return
        if coming_back and self._sharing.shares:
            return  # there may be no time for the results of many
        path = self._keeper.write_last(session, self._state.name)
        drawn = self._settings.spectrum.plots and self._stop.signal_name is None
        if path is not None and drawn:
            try_plots(path)
        exit_file = self._settings.convergence.exit_file
        if exit_file is not None and session.progress.reason:
            make_exit_file(exit_file)

    def _show_end(self) -> None:
        if isinstance(self._state.failure, LockedError):
            return  # the folder is another's
        self._monitor.tick(self._snapshot, force=True)
        if self._session is not None:
            self._monitor.say(report(self._session.diagnostics))

    def _leave(self) -> None:
        """Last words where the loop cannot have them."""
        directory = self._settings.run.directory
        leave_status(directory, "stopped", LEFT, self._ownership.check)

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        self._ownership.release()

    def _snapshot(self) -> Snapshot:
        full = "" if self._state.over else self._keeper.waits
        snapshot = Snapshot(
            state="disk full" if full else self._state.name,
            received=self._received,
            timings={
                "evaluate": self._evaluator.seconds.summary(),
                "acknowledge": self._source.seconds.summary(),
                "sync": self._keeper.syncs.summary(),
            },
            **about_networks(self._evaluator.ready),
            message=full or self._state.message,
            progress=self._source.progress,
            run_id=self._run_id,
            engine_alive=self._source.alive,
        )
        snapshot = self._work.show(snapshot)
        if self._session is None:
            return snapshot
        return self._session.show(snapshot, self._work.n_in_flight)


def run(
    settings: Settings,
    *,
    source: Source | None = None,
    stop: StopRequest | None = None,
) -> int:
    """Run the service as the command does, with signals and a view of the progress.

    Args:
        settings: of the run.
        source: another source than that of the settings.
        stop: tells when to end before the end; by default signals do.

    Returns:
        The exit code: 0, or `STOPPED`.

    Raises:
        MimyriaError: why the run ended; its `exit_code` is that of the command.
    """

    def make_source() -> Source:
        return build_source(settings) if source is None else source

    with private_files(), contextlib.ExitStack() as stack:
        if stop is None:
            stop = stack.enter_context(StopRequest())
        monitor = stack.enter_context(watched(settings, stop))
        return Service(settings, make_source, monitor, stop).run()
