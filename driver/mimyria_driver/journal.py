"""Journal: the append-only truth of a run, one checksummed record per frame.

It knows records and fsync; it knows no socket, no network and no spectrum. The layout
is in `records.py`.

A record that is in the file survives a kill; a record up to `durable_step` survives a
power cut too. On opening, a torn tail is cut off; damage is an error that touches
nothing.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import socket
import time
from pathlib import Path

import numpy as np

from mimyria.contributions import Layout
from mimyria.currents import Currents
from mimyria.errors import JournalError
from mimyria.files import replace_file
from mimyria_driver.folders import check_folder
from mimyria_driver.records import (
    FRAME,
    ROLLBACK,
    Identity,
    Record,
    check_records,
    pack_header,
    pack_record,
    read_header,
    read_journal,
)

__all__ = ["Identity", "Journal", "Record", "lock_folder", "read_journal"]

_APPEND = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class Journal:
    """The one writer of a journal.

    Use `Journal.create` or `Journal.open`, and hold the lock of the folder meanwhile.
    """

    def __init__(self, path: Path, descriptor: int, identity: Identity) -> None:
        """Made by `create` and `open` only."""
        self.path = path
        self.identity = identity
        self.last_step = -1
        self.durable_step = -1
        self.n_records = 0
        self.unsynced = 0
        self.unsynced_since = 0.0
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    @classmethod
    def create(cls, path: Path, identity: Identity) -> Journal:
        """Start a new journal; complete or absent, whatever happens meanwhile.

        Args:
            path: the file, which must not exist.
            identity: what stays the same.
        """
        return cls(path, _create(path, identity), identity)

    def begin(self, identity: Identity) -> None:
        """Replace the identity, which only a journal without records allows.

        The groups of atoms are not known before the first frame.
        """
        assert self.n_records == 0
        descriptor = _create(self.path, identity)
        os.close(self._descriptor)
        self.identity = identity
        self._descriptor = descriptor
        self._end = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Continue a journal: check every record, cut off a torn tail.

        Raises:
            JournalError: the header or a record in the middle is damaged.
        """
        identity, start = read_header(path)
        end, last_step = check_records(path, start, identity.record_size)
        descriptor = os.open(path, _APPEND)
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
        # What was written before a kill is in the page cache only: make it durable
        # before anyone is told that it is.
        os.fsync(descriptor)
        journal = cls(path, descriptor, identity)
        journal.n_records = (end - start) // identity.record_size
        journal.last_step = journal.durable_step = last_step
        return journal

    def append(self, record: Record) -> None:
        """Write one frame; it is not durable before `sync`."""
        self._write(pack_record(record, FRAME))
        self.last_step = record.step

    def roll_back(self, step: int) -> None:
        """Declare every record of `step` or later void."""
        nothing = Currents(None, None)
        size = Layout.of(self.identity.grouping).size
        parts = np.full(size, math.nan) if size else None
        record = Record(step, -1, 0.0, 0.0, 0.0, nothing, bytes(8), parts)
        self._write(pack_record(record, ROLLBACK))
        self.last_step = min(self.last_step, step - 1)

    def sync(self) -> int:
        """Make everything written durable; returns `durable_step`."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            # The kernel may have dropped the pages: a second fsync would lie.
            raise JournalError(
                f"{self.path}: the disk refused to keep the last {self.unsynced} "
                f"records ({error.strerror}). Check the disk and start again; the "
                "engine still holds these frames."
            ) from error
        self.durable_step = self.last_step
        self.unsynced = 0
        return self.durable_step

    def close(self) -> None:
        """Release the file; what `sync` was not called for survives a kill only."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            os.ftruncate(self._descriptor, self._end)
            raise JournalError(
                f"{self.path}: a record could not be written ({error.strerror}). "
                "Everything before it is safe; make room and start again."
            ) from error
        if self.unsynced == 0:
            self.unsynced_since = time.monotonic()
        self._end += len(data)
        self.n_records += 1
        self.unsynced += 1


def lock_folder(folder: Path) -> int:
    """Take the single-writer lock of a run folder.

    Returns:
        A descriptor; closing it releases the lock.

    Raises:
        JournalError: another driver holds it.
        AccessError: others can write there, or it leads elsewhere.
    """
    path = folder / "lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder)
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise JournalError(
            f"{folder}: the run folder cannot be used ({error.strerror})."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise JournalError(
            f"{folder}: another driver ({holder or 'unknown'}) is writing here. "
            "Stop it first, or choose another run.directory."
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(
        descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0
    )
    return descriptor


def _create(path: Path, identity: Identity) -> int:
    """A journal without records, complete or absent; a descriptor to append to it."""
    try:
        replace_file(path, pack_header(identity))
        return os.open(path, _APPEND)
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be created ({error.strerror or error})."
        ) from error
