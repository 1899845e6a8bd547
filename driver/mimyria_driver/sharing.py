"""Sharing: the result of one run, for who makes one result of many.

It knows what a session or a journal holds; it writes nothing. All that it gives is safe
on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from mimyria.storage import Result
from mimyria_driver.journal import Journal
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.results import journal_provenance
from mimyria_driver.session import Session
from mimyria_driver.settings import SpectrumSettings
from mimyria_driver.snapshots import Snapshots

__all__ = ["Share", "Sharing", "journal_result"]

Share = Callable[[Callable[[], Result | None]], None]
"""Called often with what gives the result, which is asked for now and then."""

_LEAST_FRAMES: Final = 2


class Sharing:
    """Gives the result of a run.

    It is that of its session or, before an engine has come back, of the frames that the
    journal has from before.
    """

    def __init__(
        self, folder: Path, settings: SpectrumSettings, share: Share | None
    ) -> None:
        """Nothing is read yet.

        Args:
            folder: the run folder.
            settings: what to make of the journal.
            share: takes results; None: nobody does.
        """
        self._share = share
        self._folder = folder
        self._settings = settings
        self._earlier: Result | None = None

    @property
    def shares(self) -> bool:
        """Whether the result is one of many."""
        return self._share is not None

    def offer(self, make: Callable[[], Result | None]) -> None:
        """Offer what gives the result."""
        if self._share is not None:
            self._share(make)

    def result(
        self, session: Session | None, journal: Journal | None, status: str
    ) -> Result | None:
        """What is safe; None if it is too little for a spectrum.

        Args:
            session: of the run, None before an engine has come.
            journal: of the run, synced.
            status: what the result says of itself.
        """
        if session is not None:
            self._earlier = None
            return session.result(status)
        if journal is None or not journal.n_records:
            return None
        if self._earlier is None:
            fold = Snapshots(self._folder).fold(
                journal.path, journal.identity, self._settings
            )
            self._earlier = journal_result(fold, journal.n_records)
        return self._earlier


def journal_result(pipeline: Pipeline, n_records: int) -> Result | None:
    """The result of a fold alone; None if it is too little for a spectrum.

    Args:
        pipeline: the fold of a journal.
        n_records: of the journal, with those that became void.
    """
    if pipeline.n_frames < _LEAST_FRAMES:
        return None
    found = journal_provenance(pipeline.identity, "earlier")
    return pipeline.result({**found, "journal_records": n_records})
