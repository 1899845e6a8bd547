"""Header: which run this is, how it is, how far and how fast; one line each."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from mimyria.timetext import duration
from mimyria_driver.screen.dots import bar, sparkline
from mimyria_driver.screen.scene import Scene
from mimyria_driver.snapshot import GOAL, part_of_way

__all__ = ["WORD_COLOURS", "footer_line", "header_lines", "joined", "spread"]

WORD_COLOURS: Final = {"OK": "green", "WARN": "yellow", "CRIT": "red"}

_DIM: Final = "bright_black"
_NETWORKS: Final = {"apt": "IR", "pgt": "Raman"}
_KINDS: Final = {"ir": "IR", "raman": "Raman"}
_BITS: Final = 1 << 20


def header_lines(scene: Scene, width: int) -> list[Text]:
    """The title, then the engine, the networks, the way to the end, the pace."""
    status = scene.status
    facts = "" if scene.gone else _surroundings(status)
    return [
        _title(scene, width),
        _line("engine", _engine(status)),
        _line("networks", _networks(status)),
        _progress(status, width),
        *([] if scene.gone else [_pace(scene, width)]),
        *([_line("machine", facts)] if facts else []),
    ]


def footer_line(scene: Scene, width: int) -> Text:
    """What the keys do, and the time."""
    keys = Text()
    if scene.keys:
        drawn = {None: "all", "ir": "IR", "raman_vv": "Raman"}[scene.choice.kind]
        scale = "square root" if scene.choice.root else "linear"
        for key, text in (("q", "leave"), ("tab", drawn), ("s", scale)):
            keys.append(f" {key} ", "reverse")
            keys.append(f" {text}  ", _DIM)
    clock = Text(time.strftime("%H:%M:%S ", time.localtime(scene.now)), _DIM)
    return spread(keys, clock, width)


def spread(left: Text, right: Text, width: int) -> Text:
    """Two texts at the two ends of a line; the left one gives way."""
    room = max(0, width - right.cell_len)
    line = left.copy()
    line.truncate(room, overflow="ellipsis", pad=True)
    return line.append_text(right)


def joined(parts: list[str]) -> str:
    """What there is of some texts, in one."""
    return " · ".join(part for part in parts if part)


def _title(scene: Scene, width: int) -> Text:
    status = scene.status
    colour = WORD_COLOURS.get(scene.word, "magenta")
    left = Text().append(" mimyria ", "bold reverse")
    left.append(f" {scene.name} ", "bold")
    right = Text()
    right.append(_state(scene), "bold" if not scene.gone else "")
    right.append("  ● ", colour)
    right.append(f"{scene.word} ", f"bold {colour}")
    heard = f" {duration(status['age'])} ago "
    right.append(heard, "red" if status["stale"] else _DIM)
    return spread(left, right, width)


def _state(scene: Scene) -> str:
    """What it does, since when; of a driver that is gone, that all is as it was."""
    status = scene.status
    state = str(status["state"])
    if scene.gone:
        return f"no driver; it was {state}" if scene.word == "CRIT" else state
    since = status.get("since")
    if since is None:
        return state
    return f"{state} for {duration(max(0.0, scene.now - since))}"


def _line(label: str, text: str) -> Text:
    line = Text().append(f" {label:<9} ", _DIM)
    return line.append(text, "default")


def _engine(status: Mapping[str, Any]) -> str:
    if not status.get("engine"):
        return status.get("message") or "none yet"
    gone = " (gone)" if status.get("engine_alive") is False else ""
    temperature = status.get("temperature")
    segments = status.get("segments", 1)
    return joined(
        [
            f"{status['engine']}{gone}, {status.get('atoms', 0)} atoms",
            f"step {status['step']}" if status.get("step", -1) >= 0 else "",
            f"{status.get('sampled', 0.0):.2f} ps"
            + (f" in {segments} segments" if segments > 1 else ""),
            "" if temperature is None else f"{temperature:.0f} K",
            _times(status.get("missing"), "missing"),
        ]
    )


def _networks(status: Mapping[str, Any]) -> str:
    if not status.get("device"):
        return "loading"
    models = [_NETWORKS.get(name, name) for name in status.get("models", {})]
    hardware = f" ({status['hardware']})" if status.get("hardware") else ""
    return joined(
        [
            f"{' and '.join(models) or 'networks'} on {status['device']}{hardware}",
            _times(status.get("restarts"), "restarts"),
            _times(status.get("uncertain"), "uncertain"),
            _times(status.get("mismatches"), "mismatches"),
        ]
    )


def _times(number: int | None, what: str) -> str:
    return f"{number} {what}" if number else ""


def _progress(status: Mapping[str, Any], width: int) -> Text:
    """How much of the way is gone: of a trajectory, or to the wanted error."""
    part, text = way(status)
    line = _line("progress", "")
    if part is not None:
        room = max(8, min(40, width - 58))
        filled, rest = bar(part, room)
        line.append(filled, "green").append(rest, _DIM)
        line.append(f" {100 * part:.0f} %", "bold")
        line.append("  ")
    return line.append(text, "default")


def way(status: Mapping[str, Any]) -> tuple[float | None, str]:
    """The part that is done, None: nobody knows, and the rest in words."""
    frames = f"{status.get('durable', 0)} frames"
    part, rate = status.get("progress"), status.get("rate", 0.0)
    live = status["state"] == "running"
    if part is not None:
        left = ""
        if live and rate > 0 and part > 0:
            seconds = status["durable"] * (1 - part) / part / rate
            left = f"{duration(seconds)} left"
        return part, joined([frames, left])
    part = _part_to_targets(status)
    seconds = max(status.get("target_seconds", {}).values(), default=None)
    wanted = joined(
        [
            f"{_KINDS.get(name, name)} {_percent(error)}"
            for name, error in (status.get("targets") or {}).items()
        ]
    ).replace(" · ", ", ")
    if live and seconds and wanted:
        return part, joined([frames, f"{duration(seconds)} to {wanted}"])
    return part, joined([frames, f"wanted {wanted}" if wanted else ""])


def _part_to_targets(status: Mapping[str, Any]) -> float | None:
    """Frames so far over those that the worst error takes: (target/error)²."""
    targets = status.get("targets") or {}
    parts = [
        part_of_way(error, targets.get(name, GOAL))
        for name, error in (status.get("errors") or {}).items()
        if error is not None and error > 0 and math.isfinite(error)
    ]
    return min(parts, default=None)


def _percent(error: float) -> str:
    return f"{100 * error:g} %"


def _pace(scene: Scene, width: int) -> Text:
    """Frames per second and lag, now and as they were, and the time of a day."""
    status, history = scene.status, scene.history
    room = max(6, (width - 60) // 2)
    live = status["state"] == "running"
    line = _line("pace", "")
    if live:
        line.append(f"{status.get('rate', 0.0):.1f}/s ", "bold")
    line.append(sparkline(list(history.rates), room), "cyan")
    who = "engine waits" if status.get("engine_waits") else "keeping up"
    line.append("  lag ", _DIM).append(f"{status.get('in_flight', 0)} ", "bold")
    line.append(sparkline(list(history.lags), room), "yellow")
    if live:
        line.append(f" ({who})", _DIM)
    if live and status.get("time_per_day"):
        line.append(f"  {status['time_per_day']:.3g} ns/day", "default")
    return line


def _surroundings(status: Mapping[str, Any]) -> str:
    """The end of the job, the disk, the GPU: where there is something to say."""
    job, gpu = status.get("job"), status.get("gpu") or {}
    parts = []
    if job is not None and job["seconds_left"] is not None:
        left = max(0.0, job["seconds_left"])
        parts.append(f"job {job['id']} ends in {duration(left)}")
    hours = (status.get("disk") or {}).get("hours_to_full")
    if hours is not None and hours < 48:
        parts.append(f"disk full in {duration(3600 * hours)}")
    if gpu.get("memory_used_bytes") is not None:
        used, size = gpu["memory_used_bytes"], gpu["memory_total_bytes"]
        parts.append(f"GPU memory {used // _BITS} of {size // _BITS} MiB")
        if gpu.get("temperature") is not None:
            parts.append(f"{gpu['temperature']} °C")
        if gpu.get("utilisation") is not None:
            parts.append(f"busy {100 * gpu['utilisation']:.0f} %")
    return joined(parts)
