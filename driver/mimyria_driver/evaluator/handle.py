"""The service's side of the evaluator: never blocks, restarts a dead or stuck child.

Batches are answered in the order in which they were submitted. A child that dies or
misses its deadline is replaced and gets its batches again; `deaths` says when that has
to end. A child that answers its canary otherwise than before is replaced, too, and then
it is for the caller to submit all frames again since the last good canary.
"""

from __future__ import annotations

import json
import logging
import socket
import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mimyria.contributions import Sample
from mimyria.errors import (
    DeviceLostError,
    EvaluatorError,
    MimyriaError,
)
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator import messages
from mimyria_driver.evaluator.child import Child
from mimyria_driver.evaluator.deaths import TWICE, Deaths
from mimyria_driver.evaluator.faults import GONE
from mimyria_driver.evaluator.gpustate import GpuState
from mimyria_driver.evaluator.work import PoisonFrame, Verdict, Work
from mimyria_driver.settings import ModelsSettings

__all__ = ["Evaluator"]

_FIRST_DEADLINE: Final = 900.0
"""Seconds for loading and for the first batch, in which kernels are compiled."""
_DEADLINE: Final = 60.0
_DEADLINE_FACTOR: Final = 20.0
_MOST_MISMATCHES: Final = 2

_log = logging.getLogger(__name__)


class Evaluator:
    """A child process with the networks.

    Attributes:
        ready: what the child said when it was ready: `device`, `hardware`, `canary`
            (digest of its answers to the examples) and `models` with the metadata of
            each target; None before.
        restarts: children that had to be replaced.
        mismatches: times that numbers were not as before.
        repeated: frames that were chosen to be evaluated twice, and were the same.
        unusual: frames far outside of those before, which were the same once more.
        last_unusual: step of the latest of them, −1: none.
        gpu: what is known of the GPU.
        notes: what children had to say about the device, the latest last.
        seconds: duration of the last batches.
    """

    def __init__(
        self,
        settings: ModelsSettings,
        log_path: Path,
        *,
        first_deadline: float = _FIRST_DEADLINE,
        deadline: float = _DEADLINE,
    ) -> None:
        """Start the child; it loads while the caller goes on.

        Args:
            settings: the models, the device.
            log_path: where the child's stderr goes.
            first_deadline: seconds for loading and for the first batch.
            deadline: least seconds for any later batch.
        """
        self.ready: dict[str, Any] | None = None
        self.restarts = 0
        self.mismatches = 0
        self.repeated = 0
        self.unusual = 0
        self.last_unusual = -1
        self.gpu = GpuState()
        self.notes: deque[str] = deque(maxlen=10)
        self.seconds = Durations(recent=50)
        self._settings: dict[str, Any] = {
            "apt": settings.apt,
            "pgt": settings.pgt,
            "device": settings.device,
            "threads": settings.threads,
            "charge": settings.charge,
            "search": str(settings.search),
            "first_load": settings.first_load,
            "apt_sha256": settings.apt_sha256,
            "pgt_sha256": settings.pgt_sha256,
            "unusual_above": settings.unusual_above,
        }
        self._log_path = log_path
        self._first_deadline = first_deadline
        self._least_deadline = deadline
        self._grouping: bytes | None = None
        self._work: deque[Work] = deque()
        self._n_stories = 0
        self._deaths = Deaths()
        self._error: MimyriaError | None = None
        self._clock = 0.0  # since when the child is at what it does
        self._start()

    @property
    def pollable(self) -> int:
        """Descriptor to wait on; changes when the child is replaced."""
        return self._child.pollable

    @property
    def wants_write(self) -> bool:
        """Whether to wait until the descriptor can be written, too."""
        return self._child.wants_write

    @property
    def process_id(self) -> int:
        """Of the present child."""
        return self._child.process_id

    @property
    def n_batches(self) -> int:
        """Batches without an answer."""
        return sum(1 for work in self._work if work.frames)

    def describe(self, grouping: Grouping) -> None:
        """Tell which groups the atoms are in, before the first batch."""
        self._grouping = messages.pack_json(grouping.as_dict())
        self._child.send(messages.wrap(messages.ATOMS, self._grouping))

    def submit(self, frames: Sequence[Frame], *, twice: bool = False) -> None:
        """Hand over a batch; `results` gives its samples later.

        Args:
            frames: of the batch.
            twice: evaluate it once more, and compare; a verdict comes if it differs.
        """
        self._hand_over(list(frames), twice)

    def check(self) -> None:
        """Ask for a canary; `results` gives its verdict behind the samples before."""
        self._hand_over([], twice=False)

    def results(self) -> list[Sample | Verdict]:
        """Move bytes without waiting; what was answered since, in order.

        After a verdict that is not good, all frames without a result are forgotten.

        Raises:
            PoisonFrame: a frame has no sample.
            DeviceLostError: the device fails again and again.
            MimyriaError: what the child could not do.
        """
        if self._error is not None:
            raise self._error
        alive = self._child.write()
        received, open_ = self._child.read()
        answers: list[Sample | Verdict] = []
        child = self._child
        try:
            for kind, body in received:
                answers += self._understand(kind, body)
                if self._child is not child or self._error is not None:
                    return answers  # what a distrusted one says later does not count
            if not (alive and open_):
                self._replace(f"died ({self._child.ending()})")
            elif self._overdue():
                self._replace(f"gave no answer in {self._deadline():.0f} s")
        except MimyriaError as error:
            self._error = error
            if not answers:  # what was answered before counts, and comes first
                raise
        return answers

    def kill(self) -> None:
        """End the child at once; it holds nothing worth keeping."""
        self._child.kill()

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def _hand_over(self, frames: list[Frame], twice: bool) -> None:
        if not self._work:
            # Not before the end of a pause.
            self._clock = max(self._clock, time.monotonic())
        self._n_stories += 1
        work = Work(frames, self._n_stories, twice)
        self._work.append(work)
        self._child.send(work.message)
        self._child.write()  # a dead child is noticed by `results`

    def _start(self, pause: float = 0.0) -> None:
        """Start a child, which waits itself: neither signals nor engines wait for it.

        Args:
            pause: seconds before it loads anything.
        """
        self._child = Child(self._log_path)
        settings = messages.pack_json({**self._settings, "pause": pause})
        self._child.send(messages.wrap(messages.SETTINGS, settings))
        if self._grouping is not None:
            self._child.send(messages.wrap(messages.ATOMS, self._grouping))
        self._clock = time.monotonic() + pause
        self._loaded = False
        self._answered = False
        self._fault: dict[str, str] | None = None
        for work in self._work:
            self._child.send(work.message)

    def _understand(self, kind: bytes, body: bytes) -> list[Sample | Verdict]:
        if kind == messages.RESULT:
            return [*self._take_samples(body)]
        if kind == messages.CANARY:
            return [self._judge(messages.unpack_text(body))]
        if kind == messages.READY:
            return self._take_ready(json.loads(body))
        if kind == messages.WRONG:
            return [self._distrust(messages.unpack_text(body), "repeat_differed")]
        if kind == messages.POISON:
            raise PoisonFrame(self._work[0].frames[0], messages.unpack_text(body))
        if kind == messages.ERROR:
            raise messages.unpack_error(body)
        if kind == messages.FAULT:
            self._fault = json.loads(body)
        elif kind == messages.GPU:
            self.gpu.take(json.loads(body))
        elif kind == messages.UNUSUAL:
            self._note_unusual(**json.loads(body))
        else:
            self.notes.append(messages.unpack_text(body))
            _log.warning("%s", self.notes[-1], extra={"code": "device_note"})
        return []

    def _take_samples(self, body: bytes) -> list[Sample]:
        work = self._work[0]
        samples = messages.unpack_samples(body)
        if len(samples) < len(work.frames):
            del work.frames[: len(samples)]  # why it is not all comes next
            return samples
        self._done()
        self.repeated += work.twice * len(work.frames)
        self.seconds.append(self._took)
        self._answered = True
        return samples

    def _note_unusual(self, step: int, size: float) -> None:
        self.unusual += 1
        self.last_unusual = step
        _log.warning(
            "step %d is unusual: dipole or polarizability change %.3g times as fast as "
            "in the frames before. Evaluated once more it was the same, and it counts",
            step,
            size,
            extra={"code": "unusual_frame", "fields": {"step": step, "size": size}},
        )

    def _judge(self, reason: str) -> Verdict:
        self._done()
        return self._distrust(reason) if reason else Verdict("")

    def _done(self) -> None:
        now = time.monotonic()
        self._took = now - self._clock
        self._clock = now
        self._work.popleft()

    def _take_ready(self, ready: dict[str, Any]) -> list[Sample | Verdict]:
        self._loaded = True
        self._clock = time.monotonic()
        if self.ready is None:
            self.ready = ready
        if self.ready == ready:
            return []
        if {**self.ready, "canary": ready["canary"]} == ready:
            reason = "a new process gave other answers to the stored examples"
            return [self._distrust(reason)]
        raise EvaluatorError(
            "the models or the device changed while the run went on; start the driver "
            "again with the models it began with."
        )

    def _distrust(self, reason: str, code: str = "canary_failed") -> Verdict:
        """Replace a child whose numbers cannot be trusted; once."""
        self.mismatches += 1
        self._work.clear()
        if self.mismatches >= _MOST_MISMATCHES:
            self._error = DeviceLostError(
                f"numbers of {self._where()} are wrong again: {reason}. The records "
                f"since the last good check were taken back. {self._advice()}"
            )
            return Verdict(reason, code)
        self._child.bury()
        self.restarts += 1
        self._start()
        return Verdict(reason, code)

    def _deadline(self) -> float:
        if not self._answered or not self.seconds:
            return self._first_deadline
        return max(
            self._least_deadline, _DEADLINE_FACTOR * statistics.median(self.seconds)
        )

    def _overdue(self) -> bool:
        busy = bool(self._work) or not self._loaded
        return busy and time.monotonic() - self._clock > self._deadline()

    def _replace(self, cause: str) -> None:
        """Kill what is left of the child and start another with the same batches."""
        self._child.bury()
        words = self._child.last_words()
        if self._fault is not None:
            words = self._fault["text"]
        elif self.ready is None:
            raise EvaluatorError(
                f"the evaluator process {cause} while loading. Its last words: {words} "
                f"(more in {self._log_path})."
            )
        self._blame(cause, words)
        pause = self._deaths.pause
        _log.warning(
            "the evaluator process %s: %s; starting another%s",
            cause,
            words,
            f", which waits for {pause:g} s first" if pause else "",
            extra={
                "code": "evaluator_replaced",
                "fields": {"cause": cause, "pause": pause},
            },
        )
        self.restarts += 1
        self._start(pause)

    def _blame(self, cause: str, words: str) -> None:
        """Decide whether there is a next child.

        Raises:
            PoisonFrame: a single frame was the end of two of them.
            DeviceLostError: it makes no sense to go on here.
        """
        suspect = self._work[0] if self._loaded and self._work else None
        alone = suspect is None or not suspect.frames
        if alone:
            self._n_stories += 1
        story = self._n_stories if suspect is None or alone else suspect.story
        self._deaths.add(time.monotonic(), story)
        if self._fault is not None and self._fault["fault"] == GONE:
            raise DeviceLostError(f"{self._where()} is gone: {words}. {self._advice()}")
        if suspect is not None and suspect.frames:
            suspect.deaths += 1
            if suspect.deaths >= TWICE:
                self._suspect(suspect, cause, words)
        if self._deaths.too_many:
            raise DeviceLostError(
                f"evaluators on {self._where()} ended {self._deaths.total} times, and "
                f"not by one frame; the last {cause}: {words}. {self._advice()}"
            )

    def _suspect(self, suspect: Work, cause: str, words: str) -> None:
        if len(suspect.frames) == 1:
            raise PoisonFrame(
                suspect.frames[0],
                f"the evaluator process {cause} with this frame, and again with it "
                f"alone. Its last words: {words}",
            )
        _log.warning(
            "the evaluator process %s twice with the %d frames from step %d; they are "
            "tried one by one",
            cause,
            len(suspect.frames),
            suspect.frames[0].step,
            extra={"code": "batch_split"},
        )
        self._work.popleft()
        self._work.extendleft(
            Work([frame], suspect.story) for frame in reversed(suspect.frames)
        )

    def _where(self) -> str:
        device = "the device" if self.ready is None else str(self.ready["device"])
        return f"{device} of {socket.gethostname()}"

    def _advice(self) -> str:
        return (
            "Everything in the journal is safe. Start again on another node (Slurm: "
            f"--exclude={socket.gethostname()})."
        )
