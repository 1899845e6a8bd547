"""Keeping: evaluated frames on their way to the disk, and the disk's moods.

It joins a session and the disk; it knows no source, no evaluator and no signal. The
order is always the same: record, fold, sync, acknowledge, publish. A full disk stops it
between two frames; nothing is acknowledged before it has gone on.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mimyria.contributions import Sample
from mimyria.errors import DiskFullError, OutputError
from mimyria_driver.diskwait import DiskWait
from mimyria_driver.durations import Durations
from mimyria_driver.pending import Pending
from mimyria_driver.session import Session

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)


class Keeper:
    """Frames that wait for their record.

    Attributes:
        evaluated: frames and what the networks made of them, in order.
        syncs: how long it took to make records safe.
    """

    def __init__(
        self,
        folder: Path,
        refresh: float,
        acknowledge: Callable[[int], None],
        kept: Callable[[Pending], None],
    ) -> None:
        """Begin with no frames.

        Args:
            folder: the run folder, which is ours.
            refresh: seconds between two results.
            acknowledge: called with the step up to which all is safe.
            kept: called with each frame that has got its record.
        """
        self.evaluated: deque[tuple[Pending, Sample]] = deque()
        self.syncs = Durations()
        self._disk = DiskWait(folder)
        self._refresh = refresh
        self._acknowledge = acknowledge
        self._kept = kept
        self._void_from: int | None = None  # records that there was no room to void
        self._next_result = time.monotonic() + refresh
        self._result_failed = False
        self._n_published = -1  # records that the last result is made of

    @property
    def waits(self) -> str:
        """Why nothing can be written now; empty while it can."""
        return self._disk.reason

    def keep(self, session: Session) -> None:
        """Write the records of what was evaluated, as long as there is room.

        Stops behind the frame with which the run has converged.
        """
        known = session.progress.reason
        while self.evaluated and self._may_write(session):
            try:
                self._keep_first(session)
            except DiskFullError as error:
                self._disk.note_full(error)
            if session.progress.reason and not known:
                break

    def take_back(self, session: Session, step: int) -> None:
        """Void all records from a step on, before anything else is written.

        Where there is no room even for that, it is done when there is; until then
        nothing is made safe, acknowledged or published.
        """
        earlier = self._void_from
        self._void_from = step if earlier is None else min(step, earlier)
        self._may_write(session)

    def sync(self, session: Session) -> None:
        """Make the records safe, and say so to the engine."""
        if not self._may_write(session):
            return
        try:
            self._make_safe(session)
        except DiskFullError as error:
            self._disk.note_full(error)
        else:
            # While frames wait only a record of one proves that there is room.
            if not self.evaluated:
                self._disk.note_room()

    def _may_write(self, session: Session) -> bool:
        """Whether it makes sense to try; nothing that is void is left then."""
        if self._disk.blocked:
            return False
        try:
            self._void(session)
        except DiskFullError as error:
            self._disk.note_full(error)
            return False
        return True

    def _void(self, session: Session) -> None:
        if self._void_from is not None:
            session.take_back(self._void_from)
            self._void_from = None

    def _keep_first(self, session: Session) -> None:
        """The first of the evaluated frames gets its record, or stays."""
        pending, sample = self.evaluated.popleft()
        try:
            session.keep(pending, sample)
        except DiskFullError:
            self.evaluated.appendleft((pending, sample))
            raise
        self._kept(pending)

    def _make_safe(self, session: Session) -> None:
        with self.syncs.measured():
            session.journal.sync()
        self._acknowledge(session.confirmed_step)

    def publish(self, session: Session) -> None:
        """Renew the result if it is time to and there is news; never ends a run.

        It holds what is safe in the journal, and no more.
        """
        is_news = session.journal.n_records != self._n_published
        if time.monotonic() < self._next_result or not is_news:
            return
        self.sync(session)
        if not self._disk.reason:
            self._try_to_write(session)
        # From now on: a result may take longer than the time between two.
        self._next_result = time.monotonic() + self._refresh

    def _try_to_write(self, session: Session) -> None:
        try:
            session.write_result("running")
            self._result_failed = False
            self._n_published = session.journal.n_records
        except OutputError as error:
            if not self._result_failed:
                _log.warning("%s It is tried again; the journal is safe", error)
            self._result_failed = True

    def save_snapshot(self, session: Session) -> None:
        """Save the fold of the journal if it is time to; never ends a run."""
        if session.snapshot_due:
            self.sync(session)
            if not self._disk.reason:
                session.save_snapshot()

    def settle(self, session: Session, *, coming_back: bool) -> bool:
        """Make the last records safe, without the ballast if there is no room.

        Args:
            session: of the run.
            coming_back: the engine will send again what is not acknowledged.

        Returns:
            Whether all of them are.

        Raises:
            DiskFullError: they are not, and the engine is not coming back.
        """
        while True:
            try:
                self._void(session)
                while self._disk.reason and self.evaluated:
                    self._keep_first(session)
                self._make_safe(session)
            except DiskFullError as error:
                if self._disk.drop_ballast():
                    continue
                if not coming_back:
                    raise
                _log.warning("%s The engine will send the last frames again", error)
                return False
            self._disk.note_room()
            session.save_snapshot(at_end=True)
            return True

    def write_last(self, session: Session, status: str) -> Path | None:
        """The result at the end; None if it is too little for a spectrum.

        Raises:
            OutputError: it cannot be written; all records are safe.
        """
        try:
            return session.write_result(status)
        except OutputError as error:
            if self._disk.drop_ballast():
                return self.write_last(session, status)
            raise OutputError(
                f"{error} All frames are safe: `mimyria-driver rebuild` makes the "
                "result."
            ) from error

    def close(self) -> None:
        """Leave no ballast behind."""
        self._disk.drop_ballast()
