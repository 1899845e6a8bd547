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
import math
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import zmq

from mimyria.contributions import Sample
from mimyria.diagnostics import report
from mimyria.errors import (
    EngineError,
    EvaluatorError,
    JournalError,
    MimyriaError,
    ResourceError,
)
from mimyria_driver.assembly import build_source
from mimyria_driver.batching import take_batch
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator import Evaluator, PoisonFrame, Verdict
from mimyria_driver.folders import private_files
from mimyria_driver.hardware import note_hardware
from mimyria_driver.journal import Journal, lock_folder
from mimyria_driver.monitor import Monitor
from mimyria_driver.operation import watched
from mimyria_driver.quarantine import quarantine
from mimyria_driver.results import draw_plots, make_exit_file
from mimyria_driver.session import JOURNAL_NAME, Pending, Session
from mimyria_driver.setaside import SetAside
from mimyria_driver.settings import Settings
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
from mimyria_driver.status import leave_status
from mimyria_driver.timedsource import TimedSource
from mimyria_driver.unchecked import Unchecked

__all__ = ["EXIT_NAME", "STOPPED", "Service", "build_source", "run"]

EXIT_NAME: Final = "EXIT"
"""A file of this name in the run folder ends the run, as in i-PI."""

_TICK: Final = 0.2
_SHORT: Final = 0.02
_DRAIN_SECONDS: Final = 2.5
"""For frames under way after a signal; saving them must fit into the rest of 5 s."""
_BATCHES: Final = 2
"""Batches with the evaluator: one is calculated while the next one travels."""
_SILENCE: Final = 0.25
"""Seconds without a frame after which a batch is not waited for any longer."""

_LEFT: Final = "stopped by a signal before all was finished; start again to continue"
_NO_MEMORY: Final = (
    "the memory that the driver may use is full. All acknowledged frames are safe; "
    "start again, with more memory if this repeats."
)

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
            JournalError: the run folder is in use, or its journal is damaged.
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
        self._n_unwanted = 0  # samples that come of frames that no result needs
        models = settings.models
        self._unchecked = Unchecked(models.canary, models.canary_seconds)
        self._aside = SetAside(directory)
        self._hardware: list[dict[str, Any]] = []
        self._state = "loading"
        self._message = ""
        self._received = 0
        self._drain_until = math.inf
        self._syncs = Durations()
        self._busy_source = True
        self._described = False
        self._failure: MimyriaError | None = None
        self._last_arrival = time.monotonic()
        self._next_result = time.monotonic() + settings.spectrum.refresh
        self._lock = lock_folder(directory)
        monitor.begin()
        path = directory / JOURNAL_NAME
        log_path = directory / "evaluator.log"
        try:
            self._journal = Journal.open(path) if path.exists() else None
            self._source = TimedSource(make_source())
            self._evaluator = (
                make_evaluator(log_path)
                if make_evaluator
                else Evaluator(settings.models, log_path)
            )
            stop.last_words += [
                self._evaluator.kill,
                lambda: leave_status(directory, "stopped", _LEFT),
            ]
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
                self._take(error)
            except MemoryError:
                self._take(ResourceError(_NO_MEMORY))
            self._finish()
        finally:
            self._evaluator.close()
            self._source.close(coming_back=self._exit_code == STOPPED)
            self._release()
            self._monitor.close()
        if self._failure is not None:
            raise self._failure
        return self._exit_code

    @property
    def _exit_code(self) -> int:
        if self._failure is not None:
            return self._failure.exit_code
        return STOPPED if self._state == "stopped" else 0

    @property
    def _in_flight(self) -> int:
        return len(self._waiting) + len(self._submitted)

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
            _log.info("the networks are loaded", extra={"code": "networks_ready"})
            self._hardware = note_hardware(
                self._settings.run.directory,
                self._evaluator.ready or {},
                -1 if self._journal is None else self._journal.last_step,
            )

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
        while self._in_flight or len(self._unchecked):
            if self._unchecked.open and not self._in_flight:
                self._check()
            if self._no_time_left():
                self._say_unfinished()
                break
            self._poll(listen=False, timeout=_SHORT)
            self._advance(idle=False)

    def _poll(self, *, listen: bool, timeout: float) -> None:
        """Wait until something can be done, at most `timeout` seconds."""
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
                self._session.origin = self._origin()
                self._take_over(self._session)
                self._journal = self._session.journal
            else:
                self._session.resume(description)
        except MimyriaError as error:
            self._source.refuse(str(error))
            raise
        self._state = "running"
        self._last_arrival = time.monotonic()
        self._source.accept(max(self._aside.held, self._session.journal.durable_step))

    def _arrive(self, arrived: Arrived) -> None:
        assert self._session is not None
        self._received += 1
        self._last_arrival = time.monotonic()
        pending = self._session.place(arrived)
        if pending is not None:
            if pending.place.rollback:
                self._aside.went_back(pending.frame.step)
            self._describe(self._session)
            self._waiting.append(pending)
        else:
            self._acknowledge(self._session)

    def _describe(self, session: Session) -> None:
        """Tell the evaluator, once, the groups that the first frame has settled."""
        if session.grouping is not None and not self._described:
            self._evaluator.describe(session.grouping)
            self._described = True

    def _end(self, ended: Ended) -> None:
        self._message = ended.reason
        self._state = "draining"
        _log.info("%s", ended.reason, extra={"code": "engine_ended"})

    def _converged(self, reason: str) -> None:
        """End the run here: frames that were not kept belong to no result."""
        self._waiting.clear()
        self._n_unwanted = len(self._submitted)
        self._submitted.clear()
        self._message = reason
        self._state = "ended"

    def _fail(self, error: MimyriaError) -> None:
        self._failure = error
        self._message = str(error)
        self._state = "draining"

    def _advance(self, *, idle: bool) -> None:
        """Everything but the source: evaluate, keep, sync, acknowledge, show."""
        session = self._session
        answers = self._answers()
        if session is not None:
            trusted = not any(isinstance(a, Verdict) and a.reason for a in answers)
            if trusted:
                # Keep it busy before anything else is done with its answers.
                self._submit(session)
            for answer in answers:
                if isinstance(answer, Verdict):
                    self._judge(session, answer)
                else:
                    self._keep(session, answer)
            if session.sync_due(idle=idle and not self._in_flight):
                self._sync(session)
            if time.monotonic() >= self._next_result:
                self._publish(session, "running")
        self._monitor.tick(self._snapshot)

    def _answers(self) -> list[Sample | Verdict]:
        try:
            return self._evaluator.results()
        except PoisonFrame as poison:
            folder = self._settings.run.directory
            raise quarantine(folder, poison.frame, poison.reason) from poison

    def _submit(self, session: Session) -> None:
        """Give the evaluator what it has time for."""
        while self._waiting and self._evaluator.n_batches < _BATCHES:
            silence = time.monotonic() - self._last_arrival
            nothing_comes = (
                self._state != "running" or not self._has_room or silence > _SILENCE
            )
            batch = take_batch(
                self._waiting,
                self._settings.models.batch,
                session.description.stride,
                hurry=nothing_comes and not self._evaluator.n_batches,
            )
            if not batch:
                return
            self._submitted.extend(batch)
            self._evaluator.submit([pending.frame for pending in batch])
            if self._unchecked.submitted(batch):
                self._check()

    def _keep(self, session: Session, sample: Sample) -> None:
        if self._n_unwanted:
            self._n_unwanted -= 1
            return
        pending = self._submitted.popleft()
        self._unchecked.add(pending)
        session.keep(pending, sample)
        if session.progress.reason and self._state == "running":
            self._converged(session.progress.reason)

    def _check(self) -> None:
        self._evaluator.check()
        self._unchecked.asked()

    def _judge(self, session: Session, verdict: Verdict) -> None:
        """Nothing counts that was calculated since the last good canary, if one fails.

        The engine may have forgotten these frames, but they are here still.
        """
        again = self._unchecked.take()
        if not verdict.reason:
            self._aside.checked()
            return
        _log.warning(
            "the device calculates wrongly: %s; %d records are taken back and "
            "calculated again",
            verdict.reason,
            len(again),
            extra={"code": "device_wrong", "fields": {"records": len(again)}},
        )
        if again:
            self._aside.put(again, session.journal.durable_step)
            session.take_back(again[0].frame.step)
        self._waiting.extendleft(reversed([*again, *self._submitted]))
        self._submitted.clear()
        self._n_unwanted = 0

    def _say_unfinished(self) -> None:
        if self._in_flight:
            _log.warning("%d frames were not finished", self._in_flight)
        else:
            _log.warning(
                "the end of the run came before the last %d frames were checked",
                len(self._unchecked),
                extra={"code": "frames_unchecked"},
            )

    def _take_over(self, session: Session) -> None:
        """Frames that an earlier driver had to leave come before the engine's."""
        again = self._aside.restore(session)
        if again:
            self._waiting.extend(again)
            self._describe(session)

    def _origin(self) -> dict[str, str | int | float]:
        now = self._hardware[-1]
        return {
            "device": now["device"],
            "hardware": now["hardware"],
            "hardware_changes": len(self._hardware) - 1,
        }

    def _sync(self, session: Session) -> None:
        with self._syncs.measured():
            session.journal.sync()
        self._acknowledge(session)

    def _acknowledge(self, session: Session) -> None:
        """Tell the engine which steps are safe, never fewer than before.

        After a canary has failed the journal ends earlier for a while, but the frames
        between are here, and the engine may have forgotten them.
        """
        step = session.confirmed_step
        if self._aside.safe(step):
            self._source.acknowledge(step)

    def _publish(self, session: Session, status: str) -> None:
        session.write_result(status)
        self._next_result = time.monotonic() + self._settings.spectrum.refresh

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
        self._stopped()
        return True

    def _stopped(self) -> None:
        if self._failure is None:
            name = self._stop.signal_name
            self._message = f"stopped by {name}; start again to continue"
            self._state = "stopped"

    def _no_time_left(self) -> bool:
        """While frames are finished: whether a signal forbids to wait for more."""
        if self._stop.signal_name is None:
            return False
        now = time.monotonic()
        if self._drain_until == math.inf:
            self._stopped()
            self._drain_until = now + _DRAIN_SECONDS
        return self._stop.urgent or now > self._drain_until

    def _take(self, error: MimyriaError) -> None:
        """What ended the loop; after a signal the evaluator may be gone, too."""
        if isinstance(error, EvaluatorError) and self._stop.signal_name is not None:
            self._stopped()
        else:
            self._failure = self._failure or error

    def _check_patience(self) -> None:
        patience = self._settings.run.patience
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
        except MemoryError:
            self._failure = self._failure or ResourceError(_NO_MEMORY)
        self._monitor.tick(self._snapshot, force=True)
        if self._session is not None:
            self._monitor.say(report(self._session.diagnostics))

    def _conclude(self) -> None:
        session = self._session
        if session is None or isinstance(self._failure, JournalError):
            return
        self._sync(session)
        path = session.write_result(self._state)
        drawn = self._settings.spectrum.plots and self._stop.signal_name is None
        if path is not None and drawn:
            draw_plots(path)
        exit_file = self._settings.convergence.exit_file
        if exit_file is not None and session.progress.reason:
            make_exit_file(exit_file)

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        os.close(self._lock)

    def _snapshot(self) -> Snapshot:
        ready = self._evaluator.ready
        snapshot = Snapshot(
            state=self._state,
            received=self._received,
            timings={
                "evaluate": self._evaluator.seconds.summary(),
                "acknowledge": self._source.seconds.summary(),
                "sync": self._syncs.summary(),
            },
            models={}
            if ready is None
            else {name: str(doc["sha256"]) for name, doc in ready["models"].items()},
            restarts=self._evaluator.restarts,
            device="" if ready is None else str(ready["device"]),
            hardware="" if ready is None else str(ready["hardware"]),
            unchecked=len(self._unchecked),
            message=self._message,
            progress=self._source.progress,
        )
        if self._session is None:
            return snapshot
        return self._session.show(snapshot, self._in_flight)


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
