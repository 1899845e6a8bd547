"""Broker: one evaluator for many replicas, in fair turns.

    facade 0 ──┐ a batch a turn,                    ┌──► facade 0
    facade 1 ──┤ one after the other ──► evaluator ─┤    in the order
    facade 2 ──┘ (at most two inside)               └──► of each

A batch has frames of one replica only, those it would have in a single run: so the
numbers are those of a single run, to the bit. A replica that has much to do waits
behind all others after each of its batches.

What ends with a frame ends its replica; a device that calculated wrongly makes all of
them calculate again what no good canary stands behind.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

import zmq

from mimyria.contributions import Sample
from mimyria.errors import EvaluatorError, FrameError, MimyriaError
from mimyria.groups import Grouping
from mimyria_driver.evaluator import Networks, Verdict
from mimyria_driver.evaluator.view import about_networks, poller_of
from mimyria_driver.replicas.facade import Facade, Job

__all__ = ["Broker"]

_INSIDE: Final = 2
"""Batches with the evaluator: one is calculated while the next one travels."""
_TICK: Final = 0.2
_COUNTERS: Final = ("restarts", "repeated", "unusual", "mismatches")

_log = logging.getLogger(__name__)


class Broker:
    """Owns the evaluator; nobody else may touch it.

    Attributes:
        lock: of all that the facades have.
        ready: what the evaluator said when it was ready first.
    """

    def __init__(self, make_evaluator: Callable[[], Networks]) -> None:
        """Start the evaluator, and the thread that speaks to it.

        Args:
            make_evaluator: makes one; called again where one is of no use any more.
        """
        self.lock = threading.Lock()
        self.ready: dict[str, Any] | None = None
        self._make = make_evaluator
        self._evaluator = make_evaluator()
        self._before: Counter[str] = Counter()  # of evaluators that are gone
        self._facades: list[Facade] = []
        self._turn = 0
        self._inside: deque[Job] = deque()
        self._grouping: Grouping | None = None  # what the evaluator was told last
        self._groups = b""
        self._error: MimyriaError | None = None
        self._clock = time.monotonic()
        self._ended = False
        self._bell, self._rope = socket.socketpair()
        self._rope.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()

    @property
    def networks(self) -> Networks:
        """The present evaluator, to look at only."""
        return self._evaluator

    def total(self, name: str) -> int:
        """A counter of the evaluator, with those that are gone."""
        return self._before[name] + int(getattr(self._evaluator, name))

    def show(self) -> dict[str, Any]:
        """Values of a `Snapshot`."""
        return {
            **about_networks(self.ready),
            **{name: self.total(name) for name in _COUNTERS},
            "last_unusual": self._evaluator.last_unusual,
            "gpu": self._evaluator.gpu.present,
        }

    def open(self) -> Facade:
        """The networks for one more replica."""
        facade = Facade(self)
        with self.lock:
            self._facades.append(facade)
            if self._error is not None:
                facade.fail(self._error)
        return facade

    def forget(self, facade: Facade) -> None:
        """A replica has gone; what it has inside is calculated for nobody."""
        with self.lock:
            index = self._facades.index(facade)
            del self._facades[index]
            self._turn -= index < self._turn  # the next one's turn is still the next
        self.wake()

    def wake(self) -> None:
        """There is something to do."""
        with contextlib.suppress(OSError):  # full: it will wake up anyway
            self._rope.send(b"x")

    def kill(self) -> None:
        """End the evaluator at once."""
        self._ended = True
        self._evaluator.kill()

    def close(self) -> None:
        """End the evaluator, and the thread."""
        self._ended = True
        self.wake()
        self._thread.join()
        self._evaluator.close()
        self._bell.close()
        self._rope.close()

    # -- in the thread of the broker ---------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._ended and self._error is None:
                self._wait()
                self._serve()
        except MimyriaError as error:
            self._fail_all(error)
        except Exception as error:
            # Nobody may wait for ever for a thread that is gone.
            _log.exception("the broker of the replicas has failed")
            text = f"the broker of the replicas has failed: {error!r}"
            self._fail_all(EvaluatorError(text))

    def _wait(self) -> None:
        poller = poller_of(self._evaluator)
        poller.register(self._bell.fileno(), zmq.POLLIN)
        ready = dict(poller.poll(round(1000 * _TICK)))
        if self._bell.fileno() in ready:
            self._bell.recv(4096)

    def _serve(self) -> None:
        """Take what the evaluator has, and give it more.

        Raises:
            MimyriaError: what ends all replicas.
        """
        try:
            answers = self._evaluator.results()
        except FrameError as error:
            with self.lock:
                if not self._inside or self._inside[0].is_canary:
                    raise
                self._fail_first(error)
            return
        with self.lock:
            self._look_at_ready()
            for answer in answers:
                self._pass_on(answer)
            self._feed()

    def _look_at_ready(self) -> None:
        """A new evaluator must be what the first one was."""
        ready = self._evaluator.ready
        if ready is None or ready == self.ready:
            return
        before, self.ready = self.ready, ready
        if before is None:
            return
        if {**before, "canary": ready.get("canary")} != ready:
            raise EvaluatorError(
                "the models or the device changed while the run went on; start the "
                "driver again with the models it began with."
            )
        reason = "a new process gave other answers to the stored examples"
        self._void_all(Verdict(reason))
        self._renew([])

    def _pass_on(self, answer: Sample | Verdict) -> None:
        """Give an answer to who asked; a bad verdict is for all."""
        if isinstance(answer, Verdict) and answer.reason:
            self._void_all(answer)
            return
        job = self._inside[0]
        job.facade.take(answer)
        if isinstance(answer, Sample):
            del job.frames[0]
        if not job.frames:
            self._inside.popleft()
            now = time.monotonic()
            if not job.is_canary:
                job.facade.finish(now - self._clock)
            self._clock = now

    def _void_all(self, verdict: Verdict) -> None:
        self._inside.clear()
        for facade in self._facades:
            facade.void(verdict)

    def _feed(self) -> None:
        """Give the evaluator what it has time for."""
        while sum(not job.is_canary for job in self._inside) < _INSIDE:
            facade = self._next()
            if facade is None:
                return
            self._submit(facade.waiting.popleft())
            while facade.waiting and facade.waiting[0].is_canary:
                self._submit(facade.waiting.popleft())

    def _next(self) -> Facade | None:
        """Whose turn it is; None where nobody's, or where it cannot be yet."""
        n = len(self._facades)
        for place in range(n):
            index = (self._turn + place) % n
            facade = self._facades[index]
            if not facade.waiting:
                continue
            if not self._tell_groups(facade):
                return None  # its turn comes when the evaluator is empty
            self._turn = index + 1
            return facade
        return None

    def _tell_groups(self, facade: Facade) -> bool:
        """Whether the evaluator knows the groups of a replica; told where it can be."""
        if not facade.grouping or facade.groups == self._groups:
            return True
        if self._inside:
            return False
        self._evaluator.describe(facade.grouping)
        self._grouping, self._groups = facade.grouping, facade.groups
        return True

    def _submit(self, job: Job) -> None:
        if not self._inside:
            self._clock = time.monotonic()
        self._inside.append(job)
        if job.is_canary:
            self._evaluator.check()
        else:
            self._evaluator.submit(job.frames, twice=job.twice)

    def _fail_first(self, error: MimyriaError) -> None:
        """A frame ends its replica, and the evaluator; the others get a new one."""
        owner = self._inside.popleft().facade
        owner.fail(error)
        self._renew([job for job in self._inside if job.facade is not owner])

    def _renew(self, jobs: list[Job]) -> None:
        """Another evaluator, with these jobs."""
        self._evaluator.close()
        before = Counter({name: self.total(name) for name in _COUNTERS})
        before["restarts"] += 1
        self._evaluator, self._before = self._make(), before
        if self._grouping is not None:
            self._evaluator.describe(self._grouping)
        self._inside.clear()
        for job in jobs:
            self._submit(job)

    def _fail_all(self, error: MimyriaError) -> None:
        with self.lock:
            self._error = error
            self._inside.clear()
            for facade in self._facades:
                facade.fail(error)
