"""Hardware of a run: a list of what has calculated it, from which step on.

The last digits of numbers depend on it, so a change is worth a note, and no error:
requeued jobs come to other nodes. The list is a small file of the run folder.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mimyria.errors import MimyriaError
from mimyria.files import replace_file

__all__ = ["HARDWARE_NAME", "note_hardware", "provenance"]

HARDWARE_NAME: Final = "hardware.json"
_COMPARED: Final = ("device", "hardware", "canary")

_log = logging.getLogger(__name__)


def note_hardware(
    folder: Path, ready: Mapping[str, Any], last_step: int
) -> list[dict[str, Any]]:
    """Add what calculates from now on, if it is not what did so before.

    Args:
        folder: the run folder.
        ready: what the evaluator said of itself.
        last_step: last step that is in the journal, −1: none.

    Returns:
        All entries, the present one last.
    """
    path = folder / HARDWARE_NAME
    entries = _read(path)
    entry = {name: ready.get(name, "") for name in _COMPARED}
    entry |= {"host": socket.gethostname(), "after_step": last_step}
    if entries and all(entries[-1].get(name) == entry[name] for name in _COMPARED):
        return entries
    if entries and last_step >= 0:
        _say(entries[-1], entry)
    entries.append(entry)
    try:
        replace_file(path, (json.dumps(entries, indent=1) + "\n").encode())
    except MimyriaError as error:
        _log.warning("%s", error)
    return entries


def provenance(entries: Sequence[Mapping[str, Any]]) -> dict[str, str | int | float]:
    """What a result says of them."""
    return {
        "device": entries[-1]["device"],
        "hardware": entries[-1]["hardware"],
        "hardware_changes": len(entries) - 1,
    }


def _say(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if before.get("hardware") == now["hardware"]:
        _log.warning(
            "the examples of the models have other last digits than before step %d, on "
            "the same hardware (%s); programs or kernels have changed",
            now["after_step"],
            now["hardware"],
            extra={"code": "hardware_changed"},
        )
        return
    _log.warning(
        "from step %d on the hardware is another one: %s on %s, before %s on %s; the "
        "last digits may differ",
        now["after_step"],
        now["hardware"],
        now["host"],
        before.get("hardware"),
        before.get("host"),
        extra={"code": "hardware_changed"},
    )


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text())
        return [dict(entry) for entry in entries]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        _log.warning("%s cannot be read (%s) and is written anew", path, error)
        return []
