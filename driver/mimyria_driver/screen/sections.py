"""Sections below the spectra: bands, checks, and what has happened."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from mimyria.diagnostics import VERDICTS, Diagnostic
from mimyria.timetext import duration
from mimyria_driver.replicaviews import replica_lines, summary_of_replicas
from mimyria_driver.screen.dots import bar
from mimyria_driver.screen.findings import KINDS
from mimyria_driver.screen.plot import COLOURS
from mimyria_driver.screen.scene import Scene
from mimyria_driver.snapshot import GOAL, part_of_way

__all__ = ["band_lines", "check_lines", "note_lines"]

_DIM: Final = "bright_black"
_SIGNS: Final = {"ok": ("✓", "green"), "look": ("▲", "yellow"), "wrong": ("✗", "red")}
_LABELS: Final = {"ir": "ir", "raman_vv": "raman"}
_ROOM_FOR_KIND: Final = 92
_MOST_REPLICAS: Final = 10


def band_lines(scene: Scene, width: int) -> list[Text]:
    """How well each band is known: those of the run's targets, then those marked."""
    rows = [dict(band) for band in scene.status.get("bands", ())]
    tops: dict[tuple[str, float], str] = {}
    if scene.findings is not None:
        known = {(row.get("name"), row.get("low"), row.get("high")) for row in rows}
        for error in scene.findings.errors:
            if (error.name, error.low, error.high) not in known:
                rows.append(
                    {"name": error.name, "low": error.low, "high": error.high}
                    | {"error": error.error, "n_samples": error.n_samples}
                    | {"from_blocks": error.from_blocks}
                )
        for name, bands in scene.findings.bands.items():
            mark = "?" if name in scene.findings.doubtful else ""
            tops |= {(name, b.low): f"band {b.position:.0f}{mark}" for b in bands}
    return [
        _band(row, tops.get((row["name"], row["low"])), scene.status, width)
        for row in rows
        if row.get("name") in KINDS
    ]


def _band(
    row: Mapping[str, Any], top: str | None, status: Mapping[str, Any], width: int
) -> Text:
    """Name, range, a bar to the wanted error, the error, and the time to it."""
    name = row["name"]
    error = math.nan if row.get("error") is None else float(row["error"])
    wanted = row.get("target") or (status.get("targets") or {}).get(_LABELS[name], GOAL)
    part = part_of_way(error, wanted)
    where = top or f"{row['low']:.0f}–{row['high']:.0f}"
    filled, rest = bar(part, max(6, min(30, width - 48)))
    line = Text().append(f" {KINDS[name]:<6}", COLOURS[name])
    line.append(f"{where:<10} ", "default")
    line.append(filled, "green" if part >= 1 else "yellow").append(rest, _DIM)
    line.append(f" {_error_text(error):>8}", "bold")
    line.append(f", wanted {_percent(wanted)}", _DIM)
    rate = status.get("rate", 0.0)
    if 0 < part < 1 and rate > 0 and status["state"] == "running":
        frames = row["n_samples"] / part - status.get("durable", 0)
        line.append(f" in {duration(max(0.0, frames) / rate)}", "default")
    if not row.get("from_blocks") and width >= _ROOM_FOR_KIND:
        line.append(" (theory)", _DIM)
    return line


def _error_text(error: float) -> str:
    if not math.isfinite(error):
        return "?"
    return f"±{_percent(error)}" if error < 1 else "±>100 %"


def _percent(error: float) -> str:
    return f"{100 * error:.{0 if error >= 0.1 else 1}f} %".replace(".0 %", " %")


def check_lines(scene: Scene, width: int) -> list[Text]:
    """Checks of the run, those that are not ok first."""
    found: Sequence[Diagnostic] = ()
    if scene.findings is not None:
        found = scene.findings.diagnostics
    ordered = sorted(found, key=lambda each: -VERDICTS.index(each.verdict))
    name_width = max((len(each.name) for each in ordered), default=0)
    return [_check(each, min(name_width, max(8, width - 36))) for each in ordered]


def _check(found: Diagnostic, name_width: int) -> Text:
    sign, colour = _SIGNS[found.verdict]
    line = Text().append(f" {sign} {found.verdict:<5} ", colour)
    name = Text().append(found.name, "default")
    name.truncate(name_width, overflow="ellipsis", pad=True)
    line.append_text(name)
    error = f" ± {found.error:.2g}" if math.isfinite(found.error) else ""
    line.append(f"  {found.value:.4g}{error}", "bold")
    return line.append(f"  wanted {found.expected:.4g}", _DIM)


def note_lines(scene: Scene, width: int) -> list[Text]:
    """What is not as it should be, replicas, the message, the latest warnings."""
    status = scene.status
    lines = []
    for each in status.get("conditions", ()) if not scene.gone else ():
        critical = each["level"] == "critical"
        lines.append(_note("✗" if critical else "▲", each["text"], critical=critical))
    if status.get("message") and status.get("engine"):
        failed = status["state"] == "failed"
        lines.append(_note("✗" if failed else "●", status["message"], critical=failed))
    if scene.trouble:
        lines.append(_note("▲", scene.trouble))
    for each in reversed(status.get("warnings", ())):
        clock = time.strftime("%H:%M:%S", time.localtime(each["time"]))
        lines.append(_note(clock, each["text"]))
    replicas = status.get("replicas")
    if replicas is not None:
        lines.append(Text(f" {summary_of_replicas(replicas)}"))
        lines += [Text(f" {line}") for line in replica_lines(replicas, _MOST_REPLICAS)]
    return lines


def _note(sign: str, text: str, *, critical: bool = False) -> Text:
    line = Text().append(f" {sign} ", "red" if critical else "yellow")
    return line.append(" ".join(text.split()), "default")
