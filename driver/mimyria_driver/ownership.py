"""Ownership: one driver for each run folder, wherever it runs.

Three things, each for what the others cannot do:

    lock         flock: decides on one machine, and is free at once after a kill
    lease.json   host, process, boot and a time renewed every 10 s: decides where flock
                 does not reach from node to node; stale after 60 s
    epoch        a counter, +1 and synced at every start: a driver that was stopped
                 while another one took over finds a higher one, and writes nothing
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from mimyria.errors import JournalError, LockedError, OutputError
from mimyria.files import remove_partials
from mimyria_driver.diskio import put
from mimyria_driver.folders import check_folder
from mimyria_driver.surroundings import boot_id, process_runs

__all__ = ["EPOCH_NAME", "LEASE_NAME", "Ownership", "lock_folder", "no_guard"]

LOCK_NAME: Final = "lock"
LEASE_NAME: Final = "lease.json"
EPOCH_NAME: Final = "epoch"

_RENEWED: Final = 10.0
_STALE: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Lease:
    """Who has the folder."""

    host: str
    process: int
    boot: str
    epoch: int

    @property
    def is_over(self) -> bool:
        """Whether its process is known to be gone, or is this one."""
        if self.host != socket.gethostname():
            return False
        if self.boot != boot_id() or self.process == os.getpid():
            return True
        return not process_runs(self.process)


class Ownership:
    """The right to write into a run folder, from `take` to `release`.

    Attributes:
        epoch: number of this start of a driver in this folder.
        taken_over: whether the holder before may still be there, stopped: what it has
            open must be replaced.
    """

    def __init__(self, folder: Path, lock: int, epoch: int, taken_over: bool) -> None:
        """Made by `take` only."""
        self.epoch = epoch
        self.taken_over = taken_over
        self._folder = folder
        self._lock = lock
        self._next = time.monotonic() + _RENEWED
        self._failed = False

    @classmethod
    def take(cls, folder: Path) -> Ownership:
        """Become the driver of a run folder, which is made if it is not there.

        Raises:
            LockedError: another driver has it; says which.
            JournalError: the folder cannot be used.
        """
        lock = lock_folder(folder)
        try:
            before = _read_lease(folder / LEASE_NAME)
            taken_over = before is not None and not before.is_over
            if before is not None and taken_over and _is_fresh(folder):
                raise LockedError(
                    f"{folder}: another driver (process {before.process} on "
                    f"{before.host}) is writing here, or died less than {_STALE:.0f} s "
                    "ago. Stop it, or start again later."
                )
            epoch = _read_epoch(folder) + 1
            _put(folder / EPOCH_NAME, f"{epoch}\n".encode())
            lease = _Lease(socket.gethostname(), os.getpid(), boot_id(), epoch)
            try:
                _put(folder / LEASE_NAME, json.dumps(asdict(lease)).encode() + b"\n")
            except JournalError as error:
                _log.warning("there is no lease beside the lock: %s", error)
            remove_partials(folder)
        except BaseException:
            os.close(lock)
            raise
        if taken_over and before is not None:
            _log.warning(
                "the run folder is taken over from process %d on %s, which has not "
                "been heard of for %.0f s",
                before.process,
                before.host,
                _STALE,
            )
        return cls(folder, lock, epoch, taken_over)

    def check(self) -> None:
        """Make sure that the folder is still ours; called before anything is written.

        Raises:
            LockedError: another driver has taken it over.
            JournalError: the folder is not there any more.
        """
        found = _read_epoch(self._folder)
        if found == self.epoch:
            return
        if not found:
            raise JournalError(
                f"{self._folder}: the run folder was moved, deleted or cannot be read. "
                "What was acknowledged is safe in it; put it back and start again."
            )
        lease = _read_lease(self._folder / LEASE_NAME)
        who = f" (process {lease.process} on {lease.host})" if lease else ""
        raise LockedError(
            f"{self._folder}: another driver{who} has taken over while this one stood "
            "still. Nothing was written any more; let the other one go on."
        )

    def renew(self) -> None:
        """Renew the lease if it is time to; cheap, called often."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _RENEWED
        self.check()
        try:
            os.utime(self._folder / LEASE_NAME)
        except OSError as error:
            if not self._failed:
                _log.warning("the lease of %s was not renewed: %s", self._folder, error)
            self._failed = True

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock < 0:
            return
        if _read_epoch(self._folder) == self.epoch:
            with suppress(OSError):
                (self._folder / LEASE_NAME).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def no_guard() -> None:
    """In the place of `Ownership.check` where nobody else can have the folder."""


def lock_folder(folder: Path) -> int:
    """Take the single-writer lock of a run folder, on this machine.

    Returns:
        A descriptor; closing it releases the lock.

    Raises:
        LockedError: another driver holds it.
        JournalError: the folder cannot be used.
        AccessError: others can write there, or it leads elsewhere.
    """
    path = folder / LOCK_NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(folder)
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(
            f"{folder}: the run folder cannot be used ({error.strerror})."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise LockedError(
            f"{folder}: another driver ({holder or 'unknown'}) is writing here. "
            "Stop it first, or choose another run.directory."
        ) from error
    with suppress(OSError):  # a full disk: only the name of the holder is missing
        os.ftruncate(descriptor, 0)
        os.pwrite(
            descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0
        )
    return descriptor


def _put(path: Path, content: bytes) -> None:
    try:
        put(path, content)
    except OutputError as error:
        raise JournalError(
            f"{path.parent}: the run folder cannot be used: {error}"
        ) from error


def _read_epoch(folder: Path) -> int:
    """The present epoch; 0 before the first one, or where it cannot be read."""
    try:
        return int((folder / EPOCH_NAME).read_bytes())
    except (OSError, ValueError):
        return 0


def _read_lease(path: Path) -> _Lease | None:
    try:
        document = json.loads(path.read_bytes())
        return _Lease(
            str(document["host"]),
            int(document["process"]),
            str(document["boot"]),
            int(document["epoch"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_fresh(folder: Path) -> bool:
    """Whether the lease was renewed lately, by the clock of the file system alone."""
    os.utime(folder / LOCK_NAME)
    now = (folder / LOCK_NAME).stat().st_mtime
    return now - (folder / LEASE_NAME).stat().st_mtime < _STALE
