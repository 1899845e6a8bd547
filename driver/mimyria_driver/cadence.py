"""Cadence: when written records are made durable, and when their fold is saved.

It knows clocks and counts and writes nothing. What it decides changes no bit of a
result, only how much is done again after a crash.
"""

from __future__ import annotations

import time
from typing import Final

from mimyria_driver.journal import Journal

__all__ = ["Cadence"]

_SYNC_RECORDS: Final = 256
_SYNC_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.02
_WORTH_SAVING: Final = 10_000
"""Records that take longer to fold than a snapshot takes to read."""


class Cadence:
    """When the journal and the snapshots of a run are written."""

    def __init__(self, snapshot: float, credit: int, n_records: int) -> None:
        """Begin at the start of a process.

        Args:
            snapshot: seconds from one saved fold to the next; 0: none is saved.
            credit: frames that the engine may have under way.
            n_records: records that a snapshot need not save again.
        """
        self._snapshot = snapshot
        self._n_saved = n_records
        self._next_snapshot = time.monotonic() + snapshot
        # Commits must not wait for more frames than an engine may have under way.
        self._sync_records = min(_SYNC_RECORDS, max(1, credit // 4))

    def sync_due(self, journal: Journal, *, idle: bool) -> bool:
        """Whether the written records should be made durable now.

        Args:
            journal: they are in.
            idle: nothing else is to be done.
        """
        if not journal.unsynced:
            return False
        age = time.monotonic() - journal.unsynced_since
        patience = _IDLE_SECONDS if idle else _SYNC_SECONDS
        return journal.unsynced >= self._sync_records or age >= patience

    def snapshot_due(self, n_records: int) -> bool:
        """Whether the fold of so many records should be saved now."""
        late = time.monotonic() >= self._next_snapshot
        return bool(self._snapshot) and late and n_records > self._n_saved

    def worth_saving(self, n_records: int) -> bool:
        """Whether the next start is quicker if the fold of so many is saved."""
        return bool(self._snapshot) and n_records - self._n_saved >= _WORTH_SAVING

    def begin_snapshot(self) -> None:
        """The fold is about to be saved: the next time is counted from here."""
        self._next_snapshot = time.monotonic() + self._snapshot

    def saved(self, n_records: int) -> None:
        """The fold of so many records has been saved."""
        self._n_saved = n_records
