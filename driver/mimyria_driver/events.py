"""Events: `events.jsonl`, a line for everything that happens to a run.

It is a handler of `logging`, so every module that logs gets its lines in. A line has a
stable `code`: that of `extra={"code": ...}` where there is one, else the part of the
driver that spoke ("ipi", "journal", ...). `extra={"fields": {...}}` adds plain values.

A log that cannot be written never ends a run, and nothing is written before `start`:
the folder may belong to another driver.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from mimyria.errors import MimyriaError
from mimyria_driver.labels import REPLICA

__all__ = ["CODES", "EVENTS_NAME", "EventLog", "code_of"]

EVENTS_NAME: Final = "events.jsonl"

CODES: Final = {
    "driver_started": "a driver took the run folder",
    "driver_stopped": "it ended: the run is over, or a signal came",
    "driver_failed": "it ended with an error; `exit_code` says which",
    "networks_ready": "the networks are loaded",
    "engine_connected": "the first engine was accepted",
    "engine_lost": "the connection to the engine is gone",
    "foreign_requests": "i-PI asks about other beads or systems, too",
    "engine_back": "it is there again, or another engine was accepted",
    "engine_ended": "the engine said that its run is over",
    "peers_refused": "connections beside those of the run were refused",
    "greetings_ignored": "engines called too many or too often beside the run",
    "evaluator_replaced": "the networks' process died or hung and was replaced",
    "rollback": "the engine went back and took another way; frames were replaced",
    "gap": "frames are missing; a new segment begins",
    "replica_failed": "a replica ended with an error; the others go on",
    "replicas": "something about the replicas of a run taken together",
    "disk_full": "the disk is full; the engine waits",
    "disk_free": "there is room again",
    "io_error": "the disk gave an error; the journal went on in a new file",
    "device_note": "what the networks' process had to say about the device",
    "batch_split": "a batch ended two processes; its frames are tried one by one",
    "hardware_changed": "another device than before calculates from now on",
    "canary_failed": "the device gave other numbers than before for a stored frame",
    "repeat_differed": "the device gave other numbers for the same frames",
    "unusual_frame": "a frame far outside of those before, the same once more",
    "gpu_ecc": "the memory of the GPU had errors that it could not correct",
    "quarantine": "a frame that no evaluator gets through was put aside",
    "uncertain_frame": "a frame that the networks do not know (the 1st, 10th, ...)",
    "temperature": "the kinetic temperature is not the one that was set",
    "result_written": "spectrum.h5 was written, for the first time or the last",
    "frames_set_aside": "frames that an earlier driver had to leave come first",
    "frames_unchecked": "the end came before the last frames were checked",
    "frames_unfinished": "frames under way were given up; the engine sends them again",
    "alert": "an alert was sent, or is over",
    "alert_failed": "an alert could not be delivered",
    "web_page": "the live page is open, was started again, or could not be opened",
    "endpoint": "the endpoint of the metrics is open, or could not be opened",
}
"""Codes that programs may rely on; others are the part of the driver that spoke."""

_FILE_BYTES: Final = 10_000_000
_FILES: Final = 10
_WAITING: Final = 1000
_LONGEST: Final = 2000
_LOGGERS: Final = ("mimyria_driver", "mimyria")


class EventLog(logging.Handler):
    """Writes what is logged inside its context.

    Attributes:
        counts: lines of each code since the start of this process.
        warnings: the last three warnings and errors: `time`, `code`, `text`.
        lost: lines that could not be written.
    """

    def __init__(
        self, directory: Path, *, file_bytes: int = _FILE_BYTES, files: int = _FILES
    ) -> None:
        """Nothing is written yet.

        Args:
            directory: the run folder.
            file_bytes: size at which a new file is begun.
            files: so many are kept, the present one among them.
        """
        super().__init__(logging.INFO)
        self.counts: Counter[str] = Counter()
        self.warnings: deque[dict[str, Any]] = deque(maxlen=3)
        self.lost = 0
        self._path = directory / EVENTS_NAME
        self._file_bytes = file_bytes
        self._files = files
        self._descriptor = -1
        self._size = 0
        self._whole = True
        self._waiting: list[tuple[bytes, bool]] | None = []
        self._levels: dict[str, int] = {}
        self._guard: Callable[[], None] | None = None

    def __enter__(self) -> EventLog:
        """Listen to the driver and to the library."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            if logger.getEffectiveLevel() > logging.INFO:
                logger.setLevel(logging.INFO)
            logger.addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no longer."""
        for name, level in self._levels.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.setLevel(level)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.close()

    @property
    def started(self) -> bool:
        """Whether the folder is known to be ours."""
        return self._waiting is None

    def start(self, guard: Callable[[], None] | None = None) -> None:
        """The folder is ours: write what was said so far, and all that follows.

        Args:
            guard: called before each line; raises once the folder is another's.
        """
        with self._locked():
            self._guard = guard
            waiting, self._waiting = self._waiting or [], None
            for line, safe in waiting:
                self._put(line, safe)

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line in; called by `logging`, which holds the lock."""
        code = code_of(record)
        text = " ".join(record.getMessage().split())[:_LONGEST]
        self.counts[code] += 1
        if record.levelno >= logging.WARNING:
            self.warnings.append({"time": record.created, "code": code, "text": text})
        entry: dict[str, Any] = {
            "ts": _utc(record.created),
            "mono": round(time.monotonic(), 3),
            "level": record.levelname.lower(),
            "code": code,
            "msg": text,
            "fields": getattr(record, "fields", {}),
        }
        replica = REPLICA.get()  # of the thread that logs
        if replica is not None:
            entry["replica"] = replica
        line = json.dumps(entry, default=str, ensure_ascii=False).encode() + b"\n"
        safe = record.levelno >= logging.ERROR
        if self._waiting is None:
            self._put(line, safe)
        elif len(self._waiting) < _WAITING:
            self._waiting.append((line, safe))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def _put(self, line: bytes, safe: bool) -> None:
        try:
            if self._guard is not None:
                self._guard()
            if self._descriptor < 0:
                self._open()
            if self._size and self._size + len(line) > self._file_bytes:
                self._rotate()
            # A line that was torn by a full disk must not spoil the next one.
            data = line if self._whole else b"\n" + line
            written = os.write(self._descriptor, data)
            self._size += written
            self._whole = written == len(data)
            if safe:
                os.fsync(self._descriptor)
        except (OSError, MimyriaError):
            self.lost += 1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        last = os.pread(self._descriptor, 1, max(0, self._size - 1))
        self._whole = last in (b"", b"\n")

    def _rotate(self) -> None:
        for age in range(self._files - 1, 0, -1):
            older = self._path.with_name(f"{EVENTS_NAME}.{age}")
            newer = f"{EVENTS_NAME}.{age - 1}" if age > 1 else EVENTS_NAME
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(newer).replace(older)
        os.close(self._descriptor)
        self._descriptor = -1
        self._open()


def code_of(record: logging.LogRecord) -> str:
    """The stable name of a line."""
    code = getattr(record, "code", None)
    if isinstance(code, str):
        return code
    parts = record.name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _utc(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
