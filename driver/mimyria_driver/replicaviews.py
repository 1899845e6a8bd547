"""Replica views: a line for each of many replicas, the worst ones first.

It turns numbers into text; it knows no file, no clock and no process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mimyria.timetext import duration
from mimyria_driver.labels import label
from mimyria_driver.snapshot import FINAL

__all__ = ["replica_lines", "summary_of_replicas"]

Row = Mapping[str, Any]


def summary_of_replicas(replicas: Mapping[str, Any]) -> str:
    """How many do what, and which one holds the others up."""
    states = ", ".join(f"{n} {state}" for state, n in replicas["states"].items())
    text = f"{replicas['number']} replicas ({states})"
    if replicas["slowest"] is not None:
        text += (
            f", slowest {replicas['slowest']} with {replicas['slowest_frames']} of "
            f"{replicas['most_frames']} frames"
        )
    for what in ("silent", "failed"):
        if replicas[what]:
            text += f", {what}: {', '.join(map(str, replicas[what]))}"
    return text


def replica_lines(replicas: Mapping[str, Any] | None, most: int) -> list[str]:
    """A line for each of the worst, and one for all others.

    Failed ones come first, then silent ones, then those with the fewest frames; those
    that have ended come last.

    Args:
        replicas: as a snapshot has them; None: there are none.
        most: lines of single replicas.
    """
    rows: Sequence[Row] = (replicas or {}).get("each", ())
    ordered = sorted(rows, key=_rank)
    lines = [_line(row) for row in ordered[:most]]
    rest = [int(row["durable"]) for row in ordered[most:]]
    if rest:
        least, largest = min(rest), max(rest)
        frames = f"{least}" if least == largest else f"{least} to {largest}"
        name = "other" if len(rest) == 1 else "others"
        lines.append(f"{len(rest)} {name} with {frames} frames")
    return lines


def _rank(row: Row) -> tuple[bool, bool, bool, int, int]:
    return (
        row["state"] != "failed",
        not row["silent"],
        row["state"] in FINAL,
        int(row["durable"]),
        int(row["replica"]),
    )


def _line(row: Row) -> str:
    parts = [f"replica {label(row['replica'])} {row['state']}"]
    parts.append(f"{row['durable']} frames")
    if row["step"] >= 0:
        parts.append(f"step {row['step']}")
    if row["in_flight"]:
        parts.append(f"lag {row['in_flight']}")
    if row["segments"] > 1:
        parts.append(f"{row['segments']} segments, {row['missing']} frames missing")
    if row["engine_alive"] is False and row["state"] not in FINAL:
        parts.append("the engine is gone")
    if row["silent"]:
        parts.append(f"silent for {duration(row['progress_age'])}")
    if row["state"] == "failed" and row["message"]:
        parts.append(row["message"])
    return " · ".join(parts)
