"""Folder: what a run folder says, read from outside and never written.

The files are replaced or grow while they are read. Whatever is wrong with one of them
becomes a sentence for the page, never an error of the server.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from mimyria.errors import MimyriaError, one_line
from mimyria_driver.events import EVENTS_NAME
from mimyria_driver.settings import RunSettings
from mimyria_driver.snapshot import LIVE
from mimyria_driver.status import plain, read_status
from mimyria_driver.verdict import UNKNOWN, WORDS, is_gone, judge

__all__ = ["run_name", "state_of"]

_SHOWN: Final = (
    "state", "message", "engine", "engine_alive", "atoms", "received", "durable",
    "in_flight", "engine_waits", "segments", "missing", "step", "sampled",
    "temperature", "uncertain", "unusual", "restarts", "errors", "targets", "bands",
    "checks", "device", "hardware", "gpu", "progress", "run_id", "version", "rate",
    "rates", "time_per_day", "lag_seconds", "target_seconds", "progress_age", "job",
    "disk", "journal_bytes", "conditions", "replicas", "host", "started", "since",
    "result_age",
)  # fmt: skip
"""Of a status, what the page has a place for."""

_TAIL: Final = 1 << 17
"""Bytes at the end of the events that are looked at."""
_MOST_EVENTS: Final = 60


def run_name(directory: Path) -> str:
    """What to call a run: its folder, or the one above where that says more."""
    directory = directory.resolve()
    usual = RunSettings().directory.name
    return directory.parent.name if directory.name == usual else directory.name


def state_of(directory: Path) -> dict[str, Any]:
    """All that the page shows of the driver, in plain values.

    `driver` is "up", "over" (it has ended) or "down" (gone, silent or never there);
    `age` are the seconds since its last word, or None.
    """
    state: dict[str, Any] = {
        "name": run_name(directory),
        "driver": "down",
        "age": None,
        "status": None,
    }
    try:
        status = read_status(directory)
        code, reason = judge(status)
        live = status["state"] in LIVE
        gone = live and (status["stale"] or is_gone(status))
        state["driver"] = "down" if gone else "up" if live else "over"
        state["age"] = round(float(status["age"]), 1)
        state["status"] = {name: status[name] for name in _SHOWN if name in status}
    except MimyriaError as error:
        code, reason = UNKNOWN, one_line(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Of another version, or not written by a driver at all.
        code, reason = UNKNOWN, f"status.json cannot be understood ({error!r})"
        state["status"] = None
    state |= {"verdict": WORDS[code], "reason": reason, "events": _events(directory)}
    found: dict[str, Any] = plain(state)
    return found


def _events(directory: Path) -> list[dict[str, str]]:
    """The latest events, the newest first; torn or foreign lines are left out."""
    events = []
    for line in reversed(_tail(directory / EVENTS_NAME).split(b"\n")):
        try:
            entry = json.loads(line)
            event = {name: str(entry[name]) for name in ("ts", "level", "code", "msg")}
        except (ValueError, KeyError, TypeError):
            continue
        if "replica" in entry:
            event["msg"] = f"replica {entry['replica']}: {event['msg']}"
        events.append(event)
        if len(events) == _MOST_EVENTS:
            break
    return events


def _tail(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, _TAIL, max(0, size - _TAIL))
    except OSError:
        return b""
    finally:
        os.close(descriptor)
