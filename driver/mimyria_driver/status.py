"""Status: `status.json`, complete at every moment, for people and job scripts.

It writes and reads the file; what stands in it is the monitor's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mimyria.errors import OutputError

__all__ = ["LIVE", "STATUS_NAME", "leave_status", "read_status", "write_status"]

STATUS_NAME: Final = "status.json"
LIVE: Final = ("loading", "waiting", "running", "draining")
"""States of a driver that is there; in all others it has gone."""

_STALE_SECONDS: Final = 30.0


def write_status(directory: Path, document: Mapping[str, Any]) -> None:
    """Put a status in the place of the last one."""
    path = directory / STATUS_NAME
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    beside.replace(path)


def leave_status(directory: Path, state: str, message: str) -> None:
    """Change the last status to the state that a driver is left in.

    For a process that ends without its loop; it waits for nothing.
    """
    path = directory / STATUS_NAME
    document = json.loads(path.read_text())
    document |= {"state": state, "message": message, "time": time.time()}
    # Not the name that `write_status` may be writing to just now.
    beside = path.with_name(path.name + ".last")
    beside.write_text(json.dumps(document, indent=1) + "\n")
    beside.replace(path)


def read_status(directory: Path) -> dict[str, Any]:
    """The last status of a run folder, with `age` (s) and `stale`.

    Raises:
        OutputError: there is none, or it cannot be read.
    """
    path = directory / STATUS_NAME
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{path}: there is no status to read. Is {directory} a run folder "
            "(run.directory of a run.toml)?"
        ) from error
    document["age"] = max(0.0, time.time() - document["time"])
    document["stale"] = document["state"] in LIVE and document["age"] > _STALE_SECONDS
    return document
