"""Journal: the append-only truth of a run, one checksummed record per frame.

It knows records and fsync; it knows no socket, no network and no spectrum. The layout
is in `identity.py` and `records.py`, how disks fail in `diskio.py`.

A record that is in the file survives a kill; a record up to `durable_step` survives a
power cut too. On opening, a torn tail is cut off; damage is an error that touches
nothing. What was written since the last sync stays in memory, too: if the sync fails,
it goes to a new file with all that was safe before.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.contributions import Layout
from mimyria.currents import Currents
from mimyria.errors import DiskFullError, JournalError, MimyriaError
from mimyria.files import replace_file
from mimyria_driver import diskio
from mimyria_driver.durablemark import DurableMark
from mimyria_driver.identity import Identity, header_key, pack_header, read_header
from mimyria_driver.ownership import lock_folder, no_guard
from mimyria_driver.reading import check_records, read_journal
from mimyria_driver.records import Record, pack_record
from mimyria_driver.scanning import FRAME, ROLLBACK

__all__ = [
    "JOURNAL_NAME",
    "Identity",
    "Journal",
    "Record",
    "lock_folder",
    "read_journal",
]

JOURNAL_NAME: Final = "journal"

_log = logging.getLogger(__name__)


class Journal:
    """The one writer of a journal.

    Use `Journal.create` or `Journal.open`, and hold the lock of the folder meanwhile.

    Attributes:
        path: the file.
        identity: what stays the same.
        last_step: of the last live record, −1: none.
        durable_step: the same of those that are safe on disk.
        n_records: records in the file, with rollbacks.
        unsynced_since: when the first of those that are not safe was written.
        sync_seconds: how long the last sync took.
        guard: called before anything is written; raises if the folder is another's.
    """

    def __init__(self, path: Path, descriptor: int, identity: Identity) -> None:
        """Made by `create` and `open` only."""
        self.path = path
        self.identity = identity
        self.last_step = -1
        self.durable_step = -1
        self.n_records = 0
        self.unsynced_since = 0.0
        self.sync_seconds = 0.0
        self.guard: Callable[[], None] = no_guard
        self._descriptor = descriptor
        self._end = 0
        self._mark: DurableMark
        self._unsynced: list[bytes] = []
        self._failed: OSError | None = None  # the file must not be synced again
        self._take(descriptor)

    @classmethod
    def create(cls, path: Path, identity: Identity) -> Journal:
        """Start a new journal; complete or absent, whatever happens meanwhile.

        Args:
            path: the file, which must not exist.
            identity: what stays the same.
        """
        journal = cls(path, _create(path, identity), identity)
        journal._mark.write(0, synced=True)
        return journal

    def begin(self, identity: Identity) -> None:
        """Replace the identity, which only a journal without records allows.

        The groups of atoms are not known before the first frame.
        """
        assert self.n_records == 0
        self.guard()
        descriptor = _create(self.path, identity)
        os.close(self._descriptor)
        self._mark.close()
        self.identity = identity
        self._take(descriptor)
        self._mark.write(0, synced=True)

    @classmethod
    def open(cls, path: Path, *, anew: bool = False) -> Journal:
        """Continue a journal: check every record, cut off a torn tail.

        Args:
            path: the file.
            anew: continue in a copy that takes its place, so that a driver that still
                has the old one open writes to nowhere.

        Raises:
            JournalError: the header or a record that was durable is damaged.
        """
        identity, start = read_header(path)
        end, found = check_records(path, start, identity.record_size)
        try:
            descriptor = _open_for_writing(path)
            if anew:
                old, descriptor = descriptor, diskio.rewrite(path, descriptor, end, b"")
                os.close(old)
            elif os.fstat(descriptor).st_size > end:
                os.ftruncate(descriptor, end)
            # What was written before a kill is in the page cache only: make it durable
            # before anyone is told that it is.
            os.fsync(descriptor)
        except OSError as error:
            raise JournalError(
                f"{path}: cannot be continued ({error.strerror or error}). Nothing in "
                "it was changed; check the disk and start again."
            ) from error
        journal = cls(path, descriptor, identity)
        journal.n_records = found.n_good
        journal.last_step = journal.durable_step = found.last_step
        journal._mark.write(found.n_good, synced=True)
        return journal

    @property
    def unsynced(self) -> int:
        """Writes that are not safe on disk."""
        return len(self._unsynced)

    @property
    def digest(self) -> str:
        """SHA-256 of the whole file."""
        return self._digest.hexdigest()

    def append(self, record: Record, *, replacing: bool = False) -> None:
        """Write one frame; it is not durable before `sync`.

        Args:
            record: of the frame.
            replacing: declare every record of its step or later void first, as
                `roll_back` does.

        Raises:
            DiskFullError: there is no room; nothing was changed, try again.
            JournalError: it cannot be written at all.
            LockedError: another driver has taken over; nothing was written.
        """
        data = pack_record(record, FRAME)
        if replacing:
            data = self._rollback_to(record.step) + data
        self._write(data)
        self.last_step = record.step

    def roll_back(self, step: int) -> None:
        """Declare every record of `step` or later void; errors as in `append`."""
        self._write(self._rollback_to(step))
        self.last_step = min(self.last_step, step - 1)

    def sync(self) -> int:
        """Make everything written durable; returns `durable_step`.

        Raises:
            DiskFullError: there is no room; nothing was lost, try again.
            JournalError: the disk fails; what was durable before still is.
            LockedError: another driver has taken over; nothing was written.
        """
        self.guard()
        begin = time.monotonic()
        if self._failed is None:
            try:
                diskio.sync_file(self._descriptor)
            except OSError as error:
                self._failed = error
        if self._failed is not None:
            self._rescue(self._failed)
        if not diskio.same_file(self._descriptor, self.path):
            self.guard()  # the disk may have taken long enough for a take-over
            raise JournalError(
                f"{self.path}: was moved or deleted while the run went on. What was "
                "acknowledged is in the moved file; move it back and start again, the "
                "engine still holds the rest."
            )
        self.sync_seconds = time.monotonic() - begin
        self.durable_step = self.last_step
        self._durable_end = self._end
        self._unsynced.clear()
        self._mark.write(self.n_records)
        return self.durable_step

    def close(self) -> None:
        """Release the file; what `sync` was not called for survives a kill only."""
        self._mark.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, descriptor: int) -> None:
        """Go on with a file that is safe on disk."""
        _, start = read_header(self.path)
        self._descriptor = descriptor
        self._end = self._durable_end = os.fstat(descriptor).st_size
        self._unsynced = []
        self._failed = None
        self._mark = DurableMark(self.path, header_key(self.path, start))
        self._digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                self._digest.update(piece)

    def _rollback_to(self, step: int) -> bytes:
        nothing = Currents(None, None)
        size = Layout.of(self.identity.grouping).size
        parts = np.full(size, math.nan) if size else None
        record = Record(step, -1, 0.0, 0.0, 0.0, nothing, bytes(8), parts)
        return pack_record(record, ROLLBACK)

    def _write(self, data: bytes) -> None:
        """Append whole records, or nothing."""
        self.guard()
        if self._failed is not None:
            self._rescue(self._failed)
        try:
            self._append(data)
        except OSError as error:
            if diskio.is_full(error):
                raise _no_room(self.path, error) from error
            self._failed = self._failed or error
            self._rescue(error)
            try:
                self._append(data)
            except OSError as again:
                raise _unwritable(self.path, again) from again
        if not self._unsynced:
            self.unsynced_since = time.monotonic()
        self._unsynced.append(data)
        self._digest.update(data)
        self._end += len(data)
        self.n_records += len(data) // self.identity.record_size

    def _append(self, data: bytes) -> None:
        try:
            diskio.write_all(self._descriptor, data)
        except OSError:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as error:
                self._failed = error  # a part may be left behind
            raise

    def _rescue(self, cause: OSError) -> None:
        """Write what is safe, and all that waits for a sync, to a new file."""
        rest = b"".join(self._unsynced)
        try:
            # The guard once more: a disk that fails may have hung for hours before.
            new = diskio.rewrite(
                self.path, self._descriptor, self._durable_end, rest, self.guard
            )
        except MimyriaError:
            raise
        except OSError as error:
            if diskio.is_full(error):
                raise _no_room(self.path, error) from error
            raise _unwritable(self.path, error) from error
        _log.warning(
            "%s: the disk did not keep what was written (%s); the journal goes on in "
            "a new file. Look at the disk",
            self.path,
            cause.strerror or cause,
            extra={"code": "io_error"},
        )
        with suppress(OSError):
            os.close(self._descriptor)
        self._descriptor = new
        self._durable_end = self._end
        self._unsynced.clear()
        self._failed = None


def _no_room(path: Path, error: OSError) -> DiskFullError:
    return DiskFullError(
        f"{path}: there is no room for a record ({error.strerror or error}). "
        "Everything before it is safe; make room."
    )


def _unwritable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path}: the disk refused to keep what was written ({error.strerror or error})"
        ", and a new file, too. What was acknowledged is safe. Check the disk and "
        "start again; the engine still holds the other frames."
    )


def _open_for_writing(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)


def _create(path: Path, identity: Identity) -> int:
    """A journal without records, complete or absent; a descriptor to append to it."""
    try:
        replace_file(path, pack_header(identity))
        return _open_for_writing(path)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be created ({error.strerror or error})."
        ) from error
