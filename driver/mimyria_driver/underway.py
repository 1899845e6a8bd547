"""Under way: frames from their arrival until they have a record that counts.

    waiting ──submit──► evaluator ──sample──► keeper ──► journal
       ▲                    └──────verdict──► good: forgotten
       └──────────── wrong: all since the last good canary ◄──┘

It joins evaluator, keeper, canaries and the frames set aside; it knows no source and no
signal. Frames since the last good canary are calculated again if the next one fails,
whether they have a record, wait for room on the disk, or are with the evaluator.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mimyria.contributions import Sample
from mimyria_driver.batching import take_batch
from mimyria_driver.evaluator import Networks, PoisonFrame, Verdict
from mimyria_driver.keeping import Keeper
from mimyria_driver.pending import Pending
from mimyria_driver.quarantine import quarantine
from mimyria_driver.session import Session
from mimyria_driver.setaside import SetAside
from mimyria_driver.settings import Settings
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.unchecked import Unchecked

__all__ = ["UnderWay"]

_BATCHES: Final = 2
"""Batches with the evaluator: one is calculated while the next one travels."""

_log = logging.getLogger(__name__)


class UnderWay:
    """The frames of one run that are not finished.

    Attributes:
        keeper: what happens to those that are evaluated.
    """

    def __init__(
        self,
        settings: Settings,
        evaluator: Networks,
        acknowledge: Callable[[int], None],
        guard: Callable[[], None],
    ) -> None:
        """Begin with no frames.

        Args:
            settings: of the run, whose folder is ours.
            evaluator: what calculates; closed by the caller.
            acknowledge: tells the engine up to which step all is safe.
            guard: raises once the folder is another's.
        """
        folder = settings.run.directory
        self.keeper = Keeper(
            folder, settings.spectrum.refresh, self.acknowledge, self._kept
        )
        self._settings = settings
        self._credit = settings.run.credit
        self._evaluator = evaluator
        self._tell = acknowledge
        self._waiting: deque[Pending] = deque()  # not yet with the evaluator
        self._submitted: deque[Pending] = deque()
        self._n_unwanted = 0  # samples that come of frames that no result needs
        self._n_good = 0  # the first of those with the keeper, behind a good canary
        models = settings.models
        self._unchecked = Unchecked(models.canary, models.canary_seconds)
        self._aside = SetAside(folder, guard)
        self._described = False

    @property
    def n_at_work(self) -> int:
        """Frames without a sample."""
        return len(self._waiting) + len(self._submitted)

    @property
    def n_in_flight(self) -> int:
        """Frames without a record."""
        return self.n_at_work + len(self.keeper.evaluated)

    @property
    def has_room(self) -> bool:
        """Whether more frames may be taken from the engine."""
        return self.n_in_flight < self._credit

    @property
    def n_unchecked(self) -> int:
        """Frames with a sample that no good canary stands behind."""
        if not self._settings.models.canary:
            return 0
        return len(self._unchecked) + len(self.keeper.evaluated) - self._n_good

    @property
    def only_needs_room(self) -> bool:
        """Whether nothing but room on the disk is wanting."""
        return bool(self.keeper.waits) and not self.n_at_work and not self.n_unchecked

    def begin(self, session: Session) -> None:
        """Frames that an earlier driver had to leave come before the engine's."""
        self._credit = session.credit
        again = self._aside.restore(session)
        if self._aside.void_from is not None:
            self.keeper.take_back(session, self._aside.void_from)
        if again:
            self._waiting.extend(again)
            self._describe(session)

    def safe_step(self, session: Session) -> int:
        """Step behind which an engine goes on."""
        return max(self._aside.held, session.journal.durable_step)

    def add(self, session: Session, pending: Pending) -> None:
        """Take in a frame that has its place."""
        if pending.place.rollback:
            self._aside.went_back(pending.frame.step)
        if pending.sample is not None:
            # Of networks that the engine asked: there is nothing to calculate.
            self.keeper.evaluated.append((pending, pending.sample))
            return
        self._describe(session)
        self._waiting.append(pending)

    def acknowledge(self, step: int) -> None:
        """Tell the engine which steps are safe, never fewer than before.

        After a canary has failed the journal ends earlier for a while, but the frames
        between are here, and the engine may have forgotten them.
        """
        if self._aside.safe(step):
            self._tell(step)

    def advance(self, session: Session | None, *, hurry: bool) -> None:
        """Submit what can be, keep what has come back.

        Args:
            session: of the run, None before an engine has come.
            hurry: batches that are not full go, too: nothing comes to fill them.

        Raises:
            MimyriaError: of the evaluator or the journal.
        """
        answers = self._answers()
        if session is None:
            return
        if not any(isinstance(each, Verdict) and each.reason for each in answers):
            # Keep it busy before anything else is done with its answers.
            self._submit(session, hurry=hurry)
        for answer in answers:
            if isinstance(answer, Verdict):
                self._judge(session, answer)
            else:
                self._take(answer)
        self.keeper.keep(session)

    def check_rest(self) -> None:
        """At the end: ask about the last samples, if that was not done."""
        if self._unchecked.open and not self.n_at_work:
            self._check()

    def drop(self) -> None:
        """Forget all frames without a record: they belong to no result."""
        self._waiting.clear()
        self._n_unwanted += len(self._submitted)
        self._submitted.clear()
        self.keeper.evaluated.clear()
        self._n_good = 0

    def say_unfinished(self) -> None:
        """Say what the end of the run comes too early for."""
        if self.n_at_work:
            _log.warning(
                "%d frames were not finished",
                self.n_at_work,
                extra={"code": "frames_unfinished"},
            )
        elif self.n_unchecked:
            _log.warning(
                "the end of the run came before the last %d frames were checked",
                self.n_unchecked,
                extra={"code": "frames_unchecked"},
            )

    def settle(self, session: Session, *, coming_back: bool) -> bool:
        """Make safe what there is; as `Keeper.settle`, whose ballast makes room."""
        try:
            return self.keeper.settle(session, coming_back=coming_back)
        finally:
            self._aside.save()

    def show(self, snapshot: Snapshot) -> Snapshot:
        """Complete a snapshot by what is known of the evaluator's numbers."""
        evaluator = self._evaluator
        return replace(
            snapshot,
            restarts=evaluator.restarts,
            unchecked=self.n_unchecked,
            repeated=evaluator.repeated,
            unusual=evaluator.unusual,
            last_unusual=evaluator.last_unusual,
            mismatches=evaluator.mismatches,
            gpu=evaluator.gpu.present,
        )

    def close(self) -> None:
        """Leave nothing in the folder that only a driver needs."""
        self.keeper.close()

    def _describe(self, session: Session) -> None:
        """Tell the evaluator, once, the groups that the first frame has settled."""
        if session.grouping is not None and not self._described:
            self._evaluator.describe(session.grouping)
            self._described = True

    def _answers(self) -> Sequence[Sample | Verdict]:
        try:
            return self._evaluator.results()
        except PoisonFrame as poison:
            folder = self._settings.run.directory
            raise quarantine(folder, poison.frame, poison.reason) from poison

    def _submit(self, session: Session, *, hurry: bool) -> None:
        """Give the evaluator what it has time for."""
        while self._waiting and self._evaluator.n_batches < _BATCHES:
            batch = take_batch(
                self._waiting,
                self._settings.models.batch,
                session.description.stride,
                hurry=hurry and not self._evaluator.n_batches,
            )
            if not batch:
                return
            self._submitted.extend(batch)
            self._evaluator.submit(
                [pending.frame for pending in batch],
                twice=self._is_chosen(batch, session.description.stride),
            )
            if self._unchecked.submitted(batch):
                self._check()

    def _is_chosen(self, batch: Sequence[Pending], stride: int) -> bool:
        """Whether a frame of the batch is one of those that are evaluated twice."""
        every = self._settings.models.repeat
        return bool(every) and any(
            pending.frame.step // stride % every == 0 for pending in batch
        )

    def _take(self, sample: Sample) -> None:
        if self._n_unwanted:
            self._n_unwanted -= 1
            return
        self.keeper.evaluated.append((self._submitted.popleft(), sample))
        self._unchecked.came()

    def _kept(self, pending: Pending) -> None:
        """A frame has its record."""
        if self._n_good:
            self._n_good -= 1
        else:
            self._unchecked.add(pending)

    def _check(self) -> None:
        self._evaluator.check()
        self._unchecked.asked()

    def _judge(self, session: Session, verdict: Verdict) -> None:
        """Nothing counts that was calculated since the last good canary, if one fails.

        The engine may have forgotten these frames, but they are here still.
        """
        evaluated = self.keeper.evaluated
        recorded = self._unchecked.take()
        if not verdict.reason:
            self._n_good = len(evaluated)
            self._aside.checked()
            return
        unkept = [evaluated.pop()[0] for _ in range(len(evaluated) - self._n_good)]
        unkept.reverse()
        n_again = len(recorded) + len(unkept)
        _log.warning(
            "the device calculates wrongly: %s; %d frames since the last good check "
            "are calculated again, and the %d records of them taken back",
            verdict.reason,
            n_again,
            len(recorded),
            extra={
                "code": verdict.code,
                "fields": {"frames": n_again, "records": len(recorded)},
            },
        )
        if recorded:
            journal = session.journal
            self._aside.put(recorded, journal.durable_step, journal.n_records)
            self.keeper.take_back(session, recorded[0].frame.step)
        self._waiting.extendleft(reversed([*recorded, *unkept, *self._submitted]))
        self._submitted.clear()
        self._n_unwanted = 0
