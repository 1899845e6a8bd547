"""Ensemble: the process of a run with replicas.

The main thread watches: the end, the common result, the common status. Everything else
is done by a thread for each replica and one for the networks.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from mimyria.errors import MimyriaError, one_line
from mimyria_driver.assembly import build_source
from mimyria_driver.evaluator import Evaluator, Networks
from mimyria_driver.folders import check_layout, private_files
from mimyria_driver.monitor import Monitor
from mimyria_driver.operation import watched
from mimyria_driver.ownership import Ownership
from mimyria_driver.replicas.board import Board
from mimyria_driver.replicas.broker import Broker
from mimyria_driver.replicas.descriptors import allow_descriptors
from mimyria_driver.replicas.publishing import Publishing
from mimyria_driver.replicas.replica import Replica
from mimyria_driver.replicas.settings import settings_of
from mimyria_driver.runid import take_run_id
from mimyria_driver.runstate import EXIT_NAME
from mimyria_driver.settings import Settings
from mimyria_driver.signals import STOPPED, StopRequest
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import Source
from mimyria_driver.status import LEFT, leave_status

__all__ = ["Ensemble", "run_replicas"]

_TICK: Final = 0.2
_OTHERS_ENDED: Final = "all other replicas have ended, this one before this start"


class Ensemble:
    """All replicas of one run; use it once."""

    def __init__(
        self,
        settings: Settings,
        monitor: Monitor,
        stop: StopRequest,
        *,
        make_source: Callable[[Settings], Source] = build_source,
        make_evaluator: Callable[[], Networks] | None = None,
    ) -> None:
        """Take the run folder, start the networks; replicas begin with `run`.

        Args:
            settings: of the run.
            monitor: shows all of them together; closed by `run`.
            stop: tells when to end before the end.
            make_source: opens where the frames of a replica come from.
            make_evaluator: makes another evaluator than that of the settings.

        Raises:
            LockedError: another driver has the run folder.
            SettingsError: it was begun with another number of replicas, or there is no
                address for each.
            ResourceError: so many files cannot be open at once.
        """
        folder = settings.run.directory
        n_replicas = settings.source.replicas
        self._settings = settings
        self._monitor = monitor
        self._stop = stop
        check_layout(folder, n_replicas)
        allow_descriptors(n_replicas)
        self._replicas = [
            Replica(number, settings_of(settings, number), stop, make_source)
            for number in range(n_replicas)
        ]
        self._board = Board(n_replicas, 60.0 * settings.alerts.silence)
        self._failure: MimyriaError | None = None
        self._state = ""  # at the end
        self._wake = threading.Event()
        self._ownership = Ownership.take(folder)
        self._run_id = take_run_id(folder)
        monitor.begin(self._ownership.check)
        try:
            self._broker = Broker(
                make_evaluator
                or (lambda: Evaluator(settings.models, folder / "evaluator.log"))
            )
        except BaseException:
            self._ownership.release()
            raise
        self._publishing = Publishing(settings, self._replicas, self._ownership.check)
        stop.last_words += [self._broker.kill, self._leave]

    def run(self) -> int:
        """Serve until all replicas are over, or a signal comes.

        Returns:
            0 at the end of all, `STOPPED` after a signal.

        Raises:
            MimyriaError: what made the first of them end; the others have gone on.
        """
        try:
            try:
                self._start()
                self._watch()
            except MimyriaError as error:
                self._failure = error
            finally:
                self._end_all()
            self._finish()
        finally:
            self._broker.close()
            self._ownership.release()
            self._monitor.close()
        if self._failure is not None:
            raise self._failure
        return STOPPED if self._state == "stopped" else 0

    def _start(self) -> None:
        for replica in self._replicas:
            number = replica.number

            def watch(status: dict[str, Any], number: int = number) -> None:
                self._board.put(number, status)

            share = self._publishing.share_of(number)
            replica.start(self._broker, share, watch, self._wake.set)

    def _watch(self) -> None:
        """Until all have ended."""
        while any(replica.alive for replica in self._replicas):
            self._wake.wait(_TICK)
            self._wake.clear()
            self._ownership.renew()
            self._look_for_the_end()
            if self._broker.ready is not None:
                self._publishing.advance()
            if self._publishing.reason and not self._stop.over:
                self._stop.over = self._publishing.reason
            self._monitor.tick(self._snapshot)

    def _look_for_the_end(self) -> None:
        path = self._settings.run.directory / EXIT_NAME
        if path.exists():
            path.unlink(missing_ok=True)
            self._stop.over = "ended by the file EXIT"
        # After a restart the engines of some may have ended long ago.
        expected = [r for r in self._replicas if not r.was_over]
        if expected and not any(replica.alive for replica in expected):
            live = [replica for replica in self._replicas if replica.alive]
            idle = all(self._board.state_of(r.number) == "waiting" for r in live)
            if live and idle:
                self._stop.over = self._stop.over or _OTHERS_ENDED

    def _end_all(self) -> None:
        if any(replica.alive for replica in self._replicas):
            self._stop.over = self._stop.over or "the driver of all replicas ends"
        for replica in self._replicas:
            replica.join()

    def _finish(self) -> None:
        """The result of all, and how they have ended."""
        self._failure = self._failure or _failure_of(self._replicas)
        stopped = self._stop.signal_name is not None
        self._state = "stopped" if stopped else "ended"
        if self._failure is not None:
            self._state = "failed"
        try:
            self._publishing.write_last(self._state, plots=not stopped)
        except MimyriaError as error:
            self._failure = self._failure or error
            self._state = "failed"
        self._monitor.tick(self._snapshot, force=True)
        self._monitor.say(self._publishing.report())

    def _leave(self) -> None:
        """Last words where the loop cannot have them."""
        directory = self._settings.run.directory
        leave_status(directory, "stopped", LEFT, self._ownership.check)

    def _snapshot(self) -> Snapshot:
        snapshot = self._publishing.show(self._board.snapshot())
        found = {**self._broker.show(), "run_id": self._run_id}
        if self._broker.ready is None:
            found["state"] = "loading"
        if self._state:
            found["state"] = self._state
            found["message"] = self._message()
        return replace(snapshot, **found)

    def _message(self) -> str:
        if self._failure is not None:
            return one_line(self._failure)
        if self._state == "stopped":
            return f"stopped by {self._stop.signal_name}; start again to continue"
        return self._stop.over or "all replicas have ended"


def run_replicas(settings: Settings, *, stop: StopRequest | None = None) -> int:
    """Run all replicas as the command does, with signals and a view of the progress.

    Args:
        settings: of the run.
        stop: tells when to end before the end; by default signals do.

    Returns:
        The exit code: 0, or `STOPPED`.

    Raises:
        MimyriaError: why the first of the replicas that failed did.
    """
    with private_files(), contextlib.ExitStack() as stack:
        if stop is None:
            stop = stack.enter_context(StopRequest())
        monitor = stack.enter_context(watched(settings, stop))
        return Ensemble(settings, monitor, stop).run()


def _failure_of(replicas: list[Replica]) -> MimyriaError | None:
    """One error for those that failed, of the kind of the first."""
    failed = [replica for replica in replicas if replica.failure is not None]
    if not failed:
        return None
    first = failed[0].failure
    kind = next(
        (c for c in type(first).__mro__ if c.__module__ == MimyriaError.__module__),
        MimyriaError,
    )
    others = f"{len(failed)} of {len(replicas)} replicas have failed; the first, "
    count = others if len(failed) > 1 else ""
    error = kind(f"{count}replica {failed[0].number}: {first}")
    assert isinstance(error, MimyriaError)
    return error
