"""Facade: the networks as one replica sees them, with its own order of answers.

It has the interface of `Evaluator`, and passes frames and answers between the thread of
a replica and that of the broker. All its fields are under the lock of the broker.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mimyria.contributions import Sample
from mimyria.errors import MimyriaError
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator import Verdict
from mimyria_driver.evaluator.gpustate import GpuState
from mimyria_driver.evaluator.messages import pack_json

if TYPE_CHECKING:
    from mimyria_driver.replicas.broker import Broker

__all__ = ["Facade", "Job"]


@dataclass(slots=True, eq=False)
class Job:
    """Frames of one batch of a replica, those without an answer yet; none: a canary."""

    facade: Facade
    frames: list[Frame]
    is_canary: bool = False
    twice: bool = False


class Facade:
    """The networks for one replica.

    Attributes:
        waiting: what the networks have not got yet.
        grouping: of the atoms of this replica.
        groups: what tells it from other groupings; empty: none.
        seconds: duration of the last batches.
        closed: whether nobody waits for an answer any more.
    """

    wants_write = False

    def __init__(self, broker: Broker) -> None:
        """Made by `Broker.open`."""
        self.waiting: deque[Job] = deque()
        self.grouping: Grouping | None = None
        self.groups = b""
        self.seconds = Durations(recent=50)
        self.closed = False
        self._broker = broker
        self._lock = broker.lock
        self._answers: list[Sample | Verdict] = []
        self._error: MimyriaError | None = None
        self._void = False  # a bad verdict is among the answers
        self._n_batches = 0
        self._here, self._there = socket.socketpair()
        self._rung = False

    @property
    def ready(self) -> dict[str, Any] | None:
        """What the evaluator said when it was ready."""
        return self._broker.ready

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced, whoever's frames they had."""
        return self._broker.total("restarts")

    @property
    def repeated(self) -> int:
        """Frames that were evaluated twice, of all replicas."""
        return self._broker.total("repeated")

    @property
    def unusual(self) -> int:
        """Frames that change much faster than those before, of all replicas."""
        return self._broker.total("unusual")

    @property
    def last_unusual(self) -> int:
        """Step of the latest of them, −1: none."""
        return self._broker.networks.last_unusual

    @property
    def mismatches(self) -> int:
        """Numbers that were not as before."""
        return self._broker.total("mismatches")

    @property
    def gpu(self) -> GpuState:
        """What is known of the GPU."""
        return self._broker.networks.gpu

    @property
    def pollable(self) -> int:
        """Descriptor that can be read when there are answers."""
        return self._here.fileno()

    @property
    def n_batches(self) -> int:
        """Batches without an answer."""
        return self._n_batches

    def describe(self, grouping: Grouping) -> None:
        """Tell which groups the atoms are in, before the first batch."""
        groups = pack_json(grouping.as_dict())
        with self._lock:
            self.grouping, self.groups = grouping, groups

    def submit(self, frames: Sequence[Frame], *, twice: bool = False) -> None:
        """Hand over a batch, to be evaluated once or twice."""
        self._hand_over(Job(self, list(frames), twice=twice))

    def check(self) -> None:
        """Ask for a canary; `results` gives its verdict behind the samples before."""
        self._hand_over(Job(self, [], is_canary=True))

    def results(self) -> list[Sample | Verdict]:
        """What was answered since, in order; after that why there is no more.

        Raises:
            MimyriaError: what ended it.
        """
        with self._lock:
            if self._rung:
                self._here.recv(1)
                self._rung = False
            answers, self._answers = self._answers, []
            self._void = False
            if not answers and self._error is not None:
                raise self._error
            return answers

    def kill(self) -> None:
        """End the evaluator at once, for all."""
        self._broker.kill()

    def close(self) -> None:
        """Nobody waits here any more; the others go on."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self.waiting.clear()
            self._here.close()
            self._there.close()
        self._broker.forget(self)

    # -- for the broker, under the lock ------------------------------------------------

    def take(self, answer: Sample | Verdict) -> None:
        """Pass an answer on."""
        if not self.closed:
            self._answers.append(answer)
            self._ring()

    def finish(self, seconds: float) -> None:
        """A batch has all its answers."""
        self._n_batches -= 1
        self.seconds.append(seconds)

    def void(self, verdict: Verdict) -> None:
        """All frames without an answer are forgotten, as the verdict says."""
        self.waiting.clear()
        self._n_batches = 0
        self._void = True
        self.take(verdict)

    def fail(self, error: MimyriaError) -> None:
        """There are no more answers."""
        self.waiting.clear()
        self._error = self._error or error
        self._ring()

    def _hand_over(self, job: Job) -> None:
        with self._lock:
            # Behind a bad verdict that was not read yet the replica submits all again.
            if self._void or self._error is not None or self.closed:
                return
            self.waiting.append(job)
            self._n_batches += not job.is_canary
        self._broker.wake()

    def _ring(self) -> None:
        if self.closed or self._rung:
            return
        self._rung = True
        with contextlib.suppress(OSError):
            self._there.send(b"x")
