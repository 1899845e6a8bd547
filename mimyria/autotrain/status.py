"""Where a run stands, in words: what is done, what it came to, what is next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mimyria.autotrain.context import cycle_name
from mimyria.autotrain.state import LAST_STEPS, Mark, RunFolder
from mimyria.errors import FormatError
from mimyria.timetext import duration

__all__ = ["status_lines"]

_COLUMNS = ("cycle", "configurations", "error on the test set", "time", "next step")


def status_lines(run: RunFolder) -> list[str]:
    """What `mimyria autotrain --status` prints.

    Raises:
        FormatError: nothing was begun there.
    """
    state = run.state()
    if state is None:
        raise FormatError(
            f"{run.root} holds no run yet. First: mimyria autotrain RUN.toml"
        )
    marks = run.marks()
    lines = [f"{run.root}: {_situation(run, state)}"]
    if "survey" in marks:
        lines.append(marks["survey"].line)
    if "test" in marks:
        lines.append(f"test set: {marks['test'].line}")
    seconds = run.seconds()
    if run.cycles:
        lines += ["", *_table(run, marks, seconds)]
    judged = [mark for name, mark in marks.items() if name.endswith("/judge")]
    if judged:
        lines += ["", *judged[-1].facts.get("report", [judged[-1].line])]
    total = sum(seconds.values())
    lines += ["", f"{duration(total)} of work"]
    return lines


def _situation(run: RunFolder, state: Mapping[str, Any]) -> str:
    if run.is_at_work():
        return "at work"
    ended = str(state.get("ended", ""))
    if ended:
        return f"over: {ended}"
    return "not at work, and not at its end: mimyria autotrain RUN.toml goes on"


def _table(
    run: RunFolder, marks: Mapping[str, Mark], seconds: Mapping[str, float]
) -> list[str]:
    rows = [_COLUMNS]
    for number in range(1, run.cycles + 1):
        name = cycle_name(number)
        trained = marks.get(f"{name}/train")
        missing = [step for step in LAST_STEPS if f"{name}/{step}" not in marks]
        errors = dict(trained.facts["epsilon"]) if trained else {}
        rows.append(
            (
                str(number),
                str(trained.facts["n_train"]) if trained else "-",
                ", ".join(f"{kind} {value:.1%}" for kind, value in errors.items())
                or "-",
                duration(
                    sum(s for step, s in seconds.items() if step.startswith(name))
                ),
                missing[0] if missing else "done",
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(_COLUMNS))]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        .rstrip()
        for row in rows
    ]  # fmt: skip
