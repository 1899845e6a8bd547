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

from mimyria.timetext import duration
from mimyria_driver.replicaviews import replica_lines, summary_of_replicas
from mimyria_driver.snapshot import GOAL, Snapshot

__all__ = ["describe", "describe_status", "table"]

_MOST_REPLICAS: Final = 10
"""Of which the view of a terminal says more than how many there are."""


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
    if snapshot.state == "running" and snapshot.engine_alive is False:
        parts.append("the engine is gone")
    if snapshot.replicas is not None:
        parts.append(summary_of_replicas(snapshot.replicas))
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
    line = describe(_snapshot(status), status["rate"])
    age = duration(status["age"])
    if status["stale"]:
        return f"not heard of for {age}; it was: {line}"
    return f"{line} · {age} ago"


def table(
    snapshot: Snapshot, rate: float, facts: Mapping[str, Any] | None = None
) -> Table:
    """The view for a terminal.

    Args:
        snapshot: the state.
        rate: frames per second.
        facts: the status, where there is one: more rows.
    """
    view = Table(title=f"mimyria-driver · {snapshot.state}", show_header=False)
    view.add_column(style="bold")
    view.add_column()
    rows: dict[str, str | ProgressBar] = {
        "engine": _engine(snapshot),
        "networks": _networks(snapshot),
        "frames": f"{snapshot.durable} ({rate:.1f}/s), step {snapshot.step}",
        "sampled": f"{snapshot.sampled:.2f} ps in {snapshot.segments} segment(s)",
        "lag": _lag(snapshot),
        "temperature": f"{snapshot.temperature:.0f} K (kinetic mean)",
        _error_kind(snapshot): ", ".join(_errors(snapshot, rate)) or "-",
    }
    if snapshot.progress is not None:
        rows["read"] = ProgressBar(total=1.0, completed=snapshot.progress, width=40)
    if snapshot.replicas is not None:
        rows["replicas"] = summary_of_replicas(snapshot.replicas)
        rows["of these"] = "\n".join(replica_lines(snapshot.replicas, _MOST_REPLICAS))
    if snapshot.checks:
        rows["checks"] = snapshot.checks
    if snapshot.missing:
        rows["missing"] = f"{snapshot.missing} frames"
    if snapshot.uncertain:
        rows["uncertain"] = (
            f"{snapshot.uncertain} frames, the latest at step {snapshot.last_uncertain}"
        )
    if snapshot.unusual:
        rows["unusual"] = (
            f"{snapshot.unusual} frames, the latest at step {snapshot.last_unusual}"
        )
    if snapshot.restarts:
        rows["restarts"] = f"{snapshot.restarts} of the evaluator"
    rows |= _surroundings(facts or {})
    if snapshot.message:
        rows["note"] = snapshot.message
    for name, text in rows.items():
        view.add_row(name, text)
    return view


def _snapshot(status: Mapping[str, Any]) -> Snapshot:
    names = {entry.name for entry in dataclasses.fields(Snapshot)}
    values = {name: status[name] for name in names & status.keys()}
    if values["temperature"] is None:
        values["temperature"] = math.nan
    return Snapshot(**values)


def _surroundings(facts: Mapping[str, Any]) -> dict[str, str]:
    """Rows of what the status knows beyond the snapshot."""
    rows: dict[str, str] = {}
    if facts.get("time_per_day"):
        rows["speed"] = f"{facts['time_per_day']:.3g} ns of the run in a day"
    job = facts.get("job")
    if job is not None:
        left = job["seconds_left"]
        end = "" if left is None else f", ends in {duration(max(0.0, left))}"
        rows["job"] = f"{job['id']}{end}"
    hours = (facts.get("disk") or {}).get("hours_to_full")
    if hours is not None:
        size = facts["journal_bytes"] / 1e6
        rows["disk"] = f"journal {size:.1f} MB, full in {duration(3600 * hours)}"
    gpu = facts.get("gpu") or {}
    if gpu.get("memory_used_bytes") is not None:
        used, size = gpu["memory_used_bytes"], gpu["memory_total_bytes"]
        rows["gpu"] = f"{used >> 20} of {size >> 20} MiB"
        if gpu["temperature"] is not None:
            rows["gpu"] += f", {gpu['temperature']} °C"
        if gpu["utilisation"] is not None:
            rows["gpu"] += f", busy {100 * gpu['utilisation']:.0f} %"
    for entry in facts.get("warnings", ()):
        rows[f"warning {len(rows)}"] = entry["text"]
    return rows


def _engine(snapshot: Snapshot) -> str:
    if not snapshot.engine:
        return "none yet"
    gone = ", gone" if snapshot.engine_alive is False else ""
    return f"{snapshot.engine}, {snapshot.atoms} atoms{gone}"


def _networks(snapshot: Snapshot) -> str:
    if not snapshot.device:
        return "loading"
    hardware = f" ({snapshot.hardware})" if snapshot.hardware else ""
    return f"on {snapshot.device}{hardware}"


def _lag(snapshot: Snapshot) -> str:
    who = "engine waits" if snapshot.engine_waits else "keeping up"
    if snapshot.state != "running":
        return f"lag {snapshot.in_flight}"
    return f"lag {snapshot.in_flight} ({who})"


def _errors(snapshot: Snapshot, rate: float) -> list[str]:
    """Each error, with the time until it reaches its target."""
    texts: list[str] = []
    left = snapshot.seconds_to_target(rate)
    for name, error in snapshot.errors.items():
        digits = 0 if error >= 0.1 else 1
        text = f"{name} ±{100 * error:.{digits}f} %" if error < 1 else f"{name} ±>100 %"
        if name in left:
            target = snapshot.targets.get(name, GOAL)
            text += f" ({100 * target:g} % in {duration(left[name])})"
        texts.append(text)
    return texts


def _error_kind(snapshot: Snapshot) -> str:
    blocks = bool(snapshot.bands) and all(b["from_blocks"] for b in snapshot.bands)
    return "error (blocks)" if blocks else "error (theory)"
