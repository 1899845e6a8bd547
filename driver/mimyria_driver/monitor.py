"""Monitor: what people and job scripts see of a running driver.

It gets a snapshot of plain numbers and shows it: a table on a terminal, a line now and
then elsewhere, and `status.json`, complete at every moment. It decides nothing, and a
monitor that fails to write never ends a run.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from mimyria.errors import OutputError
from mimyria_driver.statusfile import write_status

__all__ = [
    "STATUS_NAME",
    "Monitor",
    "Snapshot",
    "describe",
    "describe_status",
    "read_status",
]

STATUS_NAME: Final = "status.json"

_STATUS_SECONDS: Final = 2.0
_REDRAW_SECONDS: Final = 0.25
_RATE_SECONDS: Final = 15.0
_STALE_SECONDS: Final = 30.0
_GOAL: Final = 0.05
"""Relative error for which the remaining time is shown, where there is no target."""
_LIVE: Final = ("loading", "waiting", "running", "disk full", "draining")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the driver in plain numbers.

    Attributes:
        state: loading, waiting, running, disk full, draining, ended, stopped or failed.
        engine: name and version, empty before one has come.
        atoms: number of atoms.
        received: frames that arrived since the start of this process.
        in_flight: received frames that are not yet durable: the lag behind the engine.
        engine_waits: whether the networks, not the engine, set the pace.
        durable: frames in the journal, safe on disk or about to be.
        duplicates: frames that arrived again and were dropped.
        segments: unbroken pieces of the series.
        missing: frames missing between them.
        step: last MD step in the series, −1: none.
        sampled: simulated time in the series, ps.
        temperature: mean kinetic temperature, K.
        uncertain: frames that the networks are not sure of.
        last_uncertain: step of the latest of them, −1: none.
        errors: relative statistical error of each kind of spectrum: from blocks, worst
            band; while there are too few blocks, that of theory.
        targets: wanted errors of them.
        bands: all that is known of each band; `from_blocks` says which error it is.
        checks: sum rules of the run in a few words.
        restarts: evaluators that had to be replaced.
        device: where the networks run.
        message: a warning, or why the run is over.
        progress: part of the frames that were read, 0 to 1; None: not known.
    """

    state: str = "loading"
    engine: str = ""
    atoms: int = 0
    received: int = 0
    in_flight: int = 0
    engine_waits: bool = False
    durable: int = 0
    duplicates: int = 0
    segments: int = 0
    missing: int = 0
    step: int = -1
    sampled: float = 0.0
    temperature: float = math.nan
    uncertain: int = 0
    last_uncertain: int = -1
    errors: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    bands: Sequence[Mapping[str, Any]] = ()
    checks: str = ""
    restarts: int = 0
    device: str = ""
    message: str = ""
    progress: float | None = None


class Monitor:
    """Shows snapshots; asks for one only when it is due."""

    def __init__(
        self,
        directory: Path,
        *,
        report: float = 10.0,
        console: Console | None = None,
    ) -> None:
        """Nothing is shown before the first `tick`.

        Args:
            directory: run folder, which must exist when the first tick comes.
            report: seconds between two lines where there is no terminal.
            console: where to show; by default stderr.
        """
        self._path = directory / STATUS_NAME
        self._console = console or Console(stderr=True)
        self._terminal = self._console.is_terminal
        self._report = _REDRAW_SECONDS if self._terminal else report
        self._live: Live | None = None
        self._next_report = 0.0
        self._next_status = 0.0
        self._state = ""
        self._status_failed = False
        self._history: deque[tuple[float, int]] = deque()

    def tick(self, snapshot: Callable[[], Snapshot], *, force: bool = False) -> None:
        """Show the present state, if it is time to.

        Args:
            snapshot: makes the snapshot.
            force: show it in any case, as at the end.
        """
        now = time.monotonic()
        if not force and now < min(self._next_report, self._next_status):
            return
        present = snapshot()
        changed = present.state != self._state
        if changed and present.state == "running":
            self._history.clear()  # the rate is that of the run, not of the wait
        rate = self._rate(now, present.durable)
        self._state = present.state
        if force or changed or now >= self._next_status:
            self._next_status = now + _STATUS_SECONDS
            self._write_status(present, rate)
        if force or changed or now >= self._next_report:
            self._next_report = now + self._report
            self._show(present, rate)

    def say(self, lines: Sequence[str]) -> None:
        """Print lines for people, above the view if there is one."""
        for line in lines:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was, with the last view on it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _rate(self, now: float, durable: int) -> float:
        """Frames per second over the last seconds."""
        history = self._history
        history.append((now, durable))
        while len(history) > 2 and now - history[0][0] > _RATE_SECONDS:
            history.popleft()
        elapsed = now - history[0][0]
        return max(0.0, (durable - history[0][1]) / elapsed) if elapsed > 0 else 0.0

    def _write_status(self, snapshot: Snapshot, rate: float) -> None:
        document = {
            **dataclasses.asdict(snapshot),
            "temperature": _finite(snapshot.temperature),
            "rate": rate,
            "process": os.getpid(),
            "time": time.time(),
        }
        try:
            write_status(
                self._path, json.dumps(document, indent=1, allow_nan=False) + "\n"
            )
            self._status_failed = False
        except OSError as error:
            # Not worth a run, and said once.
            if not self._status_failed:
                _log.warning("%s could not be written: %s", self._path, error)
            self._status_failed = True

    def _show(self, snapshot: Snapshot, rate: float) -> None:
        if not self._terminal:
            self._console.print(
                describe(snapshot, rate), highlight=False, markup=False, soft_wrap=True
            )
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(_table(snapshot, rate), refresh=True)


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
    age = _duration(status["age"])
    if status["stale"]:
        return f"not heard of for {age}; it was: {line}"
    return f"{line} · {age} ago"


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
    document["stale"] = document["state"] in _LIVE and document["age"] > _STALE_SECONDS
    return document


def _table(snapshot: Snapshot, rate: float) -> Table:
    table = Table(title=f"mimyria-driver · {snapshot.state}", show_header=False)
    table.add_column(style="bold")
    table.add_column()
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
        table.add_row(name, text)
    return table


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
            text += f" ({100 * target:g} % in {_duration(wanted / rate)})"
        texts.append(text)
    return texts


def _error_kind(snapshot: Snapshot) -> str:
    blocks = bool(snapshot.bands) and all(b["from_blocks"] for b in snapshot.bands)
    return "error (blocks)" if blocks else "error (theory)"


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
