"""Status: `status.json`, complete at every moment, for people and job scripts.

It writes and reads the file; what stands in it is the monitor's.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.errors import OutputError
from mimyria_driver.diskio import put
from mimyria_driver.snapshot import LIVE
from mimyria_driver.surroundings import boot_id

__all__ = [
    "LEFT",
    "SCHEMA_VERSION",
    "STATUS_NAME",
    "leave_status",
    "plain",
    "read_status",
    "write_status",
]

STATUS_NAME: Final = "status.json"
SCHEMA_VERSION: Final = 1
"""Of status.json; status.schema.json beside this module says what stands in it."""

LEFT: Final = "stopped by a signal before all was finished; start again to continue"
"""Message of a driver that had to leave without its loop."""

_STALE_SECONDS: Final = 30.0
_BLOCK: Final = 4096


def write_status(
    directory: Path, document: Mapping[str, Any], confirm: Callable[[], None]
) -> None:
    """Put a status in the place of the last one.

    Args:
        directory: run folder.
        document: the status.
        confirm: called just before it takes its place; raises if it must not.

    Raises:
        OutputError: it cannot be written.
    """
    _put(directory / STATUS_NAME, plain(document), confirm)


def plain(value: Any) -> Any:  # noqa: ANN401 (any value of JSON)
    """The same in the types of JSON: numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def leave_status(
    directory: Path, state: str, message: str, confirm: Callable[[], None]
) -> None:
    """Change the last status to the state that a driver is left in.

    For a process that ends without its loop; it waits for nothing.

    Args:
        directory: run folder.
        state: one of the final states.
        message: for people.
        confirm: called just before it takes its place; raises if it must not.
    """
    path = directory / STATUS_NAME
    document = json.loads(path.read_text())
    now = {"time": time.time(), "mono": time.monotonic()}
    document |= {"state": state, "message": message, **now}
    _put(path, document, confirm)


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
    document["age"] = _age(document)
    document["stale"] = document["state"] in LIVE and document["age"] > _STALE_SECONDS
    return document


def _put(
    path: Path,
    document: Any,  # noqa: ANN401 (JSON)
    confirm: Callable[[], None],
) -> None:
    """It fills whole blocks, so that to put it in its own place needs no room."""
    data = json.dumps(document, indent=1, allow_nan=False).encode() + b"\n"
    data += b" " * (-len(data) % _BLOCK)
    put(path, data, confirm, private=True, durable=False)


def _age(document: Mapping[str, Any]) -> float:
    """Seconds since it was written; a clock that was set does not count."""
    boot = document.get("boot", "")
    if boot and boot == boot_id():
        return max(0.0, time.monotonic() - float(document["mono"]))
    return max(0.0, time.time() - float(document["time"]))
