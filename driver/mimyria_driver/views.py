"""Views: a state of the driver as a line for a log and as a table for a terminal.

It turns numbers into text; it knows no file, no clock and no process.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from rich.progress_bar import ProgressBar
from rich.table import Table

from mimyria_driver.snapshot import Snapshot

__all__ = ["describe", "describe_status", "duration", "table"]

_GOAL: Final = 0.05
"""Relative error for which the remaining time is shown, where there is no target."""


def describe(snapshot: Snapshot, rate: float) -> str:
    """One line for a log."""
    if not snapshot.engine:
        why = {"loading": "the networks", "waiting": "for the engine"}
        return f"{snapshot.state} · {snapshot.message or why.get(snapshot.state, '-')}"
    parts = [
        snapshot.state,
        f"{snapshot.durable} frames",
        *([] if snapshot.progress is None else [f"{snapshot.progress:.0%}"]),
        f"{rate:.1f}/s",
        f"{snapshot.sampled:.2f} ps",
        _lag(snapshot),
        f"{snapshot.temperature:.0f} K",
        *_errors(snapshot, rate),
        *([snapshot.checks] if snapshot.checks else []),
    ]
    if snapshot.missing:
        parts.append(f"{snapshot.missing} frames missing")
    if snapshot.uncertain:
        parts.append(
            f"{snapshot.uncertain} frames uncertain (last step "
            f"{snapshot.last_uncertain})"
        )
    if snapshot.message:
        parts.append(snapshot.message)
    return " · ".join(parts)


def describe_status(status: Mapping[str, Any]) -> str:
    """The line for a log, from a status that `read_status` gave."""
    names = {entry.name for entry in dataclasses.fields(Snapshot)}
    values = {name: status[name] for name in names & status.keys()}
    if values["temperature"] is None:
        values["temperature"] = math.nan
    line = describe(Snapshot(**values), status["rate"])
    age = duration(status["age"])
    if status["stale"]:
        return f"not heard of for {age}; it was: {line}"
    return f"{line} · {age} ago"


def table(snapshot: Snapshot, rate: float) -> Table:
    """The view for a terminal."""
    view = Table(title=f"mimyria-driver · {snapshot.state}", show_header=False)
    view.add_column(style="bold")
    view.add_column()
    rows: dict[str, str | ProgressBar] = {
        "engine": f"{snapshot.engine}, {snapshot.atoms} atoms"
        if snapshot.engine
        else "none yet",
        "networks": f"on {snapshot.device}" if snapshot.device else "loading",
        "frames": f"{snapshot.durable} ({rate:.1f}/s), step {snapshot.step}",
        "sampled": f"{snapshot.sampled:.2f} ps in {snapshot.segments} segment(s)",
        "lag": _lag(snapshot),
        "temperature": f"{snapshot.temperature:.0f} K (kinetic mean)",
        _error_kind(snapshot): ", ".join(_errors(snapshot, rate)) or "-",
    }
    if snapshot.progress is not None:
        rows["read"] = ProgressBar(total=1.0, completed=snapshot.progress, width=40)
    if snapshot.checks:
        rows["checks"] = snapshot.checks
    if snapshot.missing:
        rows["missing"] = f"{snapshot.missing} frames"
    if snapshot.uncertain:
        rows["uncertain"] = (
            f"{snapshot.uncertain} frames, the latest at step {snapshot.last_uncertain}"
        )
    if snapshot.restarts:
        rows["restarts"] = f"{snapshot.restarts} of the evaluator"
    if snapshot.message:
        rows["note"] = snapshot.message
    for name, text in rows.items():
        view.add_row(name, text)
    return view


def _lag(snapshot: Snapshot) -> str:
    who = "engine waits" if snapshot.engine_waits else "keeping up"
    if snapshot.state != "running":
        return f"lag {snapshot.in_flight}"
    return f"lag {snapshot.in_flight} ({who})"


def _errors(snapshot: Snapshot, rate: float) -> list[str]:
    """Each error, with the time until it reaches its target."""
    texts: list[str] = []
    for name, error in snapshot.errors.items():
        digits = 0 if error >= 0.1 else 1
        text = f"{name} ±{100 * error:.{digits}f} %" if error < 1 else f"{name} ±>100 %"
        target = snapshot.targets.get(name, _GOAL)
        wanted = snapshot.durable * (error / target) ** 2 - snapshot.durable
        if rate > 0 and wanted > 0 and snapshot.state == "running":
            text += f" ({100 * target:g} % in {duration(wanted / rate)})"
        texts.append(text)
    return texts


def _error_kind(snapshot: Snapshot) -> str:
    blocks = bool(snapshot.bands) and all(b["from_blocks"] for b in snapshot.bands)
    return "error (blocks)" if blocks else "error (theory)"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
