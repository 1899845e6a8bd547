"""The loop: survey, test set, then cycles until the spectra are good enough.

Each step is done once: it has a mark when it is done, and whoever is killed before goes
on within the step. A step whose inputs have changed since it was begun is refused, but
for those that only compute a verdict, which are made anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mimyria.autotrain.context import Context, Outcome, cycle_name
from mimyria.autotrain.judging import RULE
from mimyria.autotrain.renewal import renew_pool
from mimyria.autotrain.settings import Settings, defaults_of
from mimyria.autotrain.starting import require_start
from mimyria.autotrain.state import LAST_STEPS, Mark, RunFolder
from mimyria.autotrain.steps import (
    choose,
    look_around,
    make_reference,
    make_test_set,
    require_same_files,
)
from mimyria.autotrain.trainsteps import evaluate, make_spectra, train
from mimyria.autotrain.verdict import judge_cycle
from mimyria.errors import IncompatibleError
from mimyria.files import remove_partials

__all__ = ["Ending", "fixed_settings", "run_loop"]

_TITLES: Final = {
    "survey": "reading the trajectories",
    "test": "test set",
    "choose": "choosing configurations",
    "reference": "reference calculations",
    "train": "training",
    "evaluate": "evaluating all frames",
    "spectra": "spectra",
    "judge": "judgement",
}
_CHEAP: Final = ("spectra", "judge")
"""Steps that are made anew where what goes into them has changed."""

_FREE: Final = {
    "autotrain": (
        "title",
        "pool",
        "max_cycles",
        "hours",
        "frames_per_cycle",
        "retries",
    ),
    "spectra": ("experiment",),
}
"""Settings that may be changed at any time; those of whole sections stand below."""
_FREE_SECTIONS: Final = ("targets", "execution", "compute")


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the loop has ended.

    Attributes:
        converged: whether by the judgement, and not by a limit.
        reason: one sentence.
        cycles: cycles that are done.
        exhausted: whether for want of other frames to choose.
    """

    converged: bool
    reason: str
    cycles: int
    exhausted: bool = False


def fixed_settings(settings: Settings) -> dict[str, Any]:
    """What may not change in the course of a run, section by section."""
    found: dict[str, Any] = {}
    for name in ("autotrain", "dynamics", "choice", "training", "spectra", "fields",
                 "clusters"):  # fmt: skip
        section = settings.section(name)
        free = (*_FREE.get(name, ()), *(("directory",) if name == "autotrain" else ()))
        found[name] = {key: v for key, v in section.items() if key not in free}
    assert not set(found) & set(_FREE_SECTIONS)
    return found


def require_same_settings(run: RunFolder, settings: Settings) -> None:
    """Refuse settings that do not fit what is done already.

    Raises:
        IncompatibleError: names the first that differs.
    """
    state = run.state()
    if state is None or not state["steps"]:
        return  # nothing is done that other settings could contradict
    before, now = state["settings"], json.loads(json.dumps(fixed_settings(settings)))
    for section in sorted({*before, *now}):
        said, new = before.get(section, {}), now.get(section, {})
        # An older program did what the default of a later setting is; a section that
        # was left out as a whole, [clusters], had none of its defaults.
        old = {**defaults_of(section), **said} if said else {}
        for key in sorted({*said, *new}):
            if old.get(key) != new.get(key):
                raise IncompatibleError(
                    f"{section}.{key} was {old.get(key)!r} when the run in {run.root} "
                    f"began, and is {new.get(key)!r} now. Put it back, or set another "
                    "autotrain.directory. (Free to change: targets, execution, compute "
                    "and, of autotrain, max_cycles, hours, frames_per_cycle, pool.)"
                )


def run_loop(
    context: Context, after_cycle: Callable[[Context, int], None] | None = None
) -> Ending:
    """Do what is left of a run; the caller holds its lock.

    Args:
        context: of the run.
        after_cycle: called behind each cycle that is not the last, as for a report.

    Returns:
        Why it has ended.

    Raises:
        IncompatibleError: settings or files are not those of the run.
        FormatError: what a step has left was altered.
    """
    run, settings = context.run, context.settings
    require_same_settings(run, settings)
    run.write_state(fixed_settings(settings), "")
    for mark in run.marks().values():
        run.verify(mark)
    if settings.training.start and run.mark("survey") is None:
        require_start(settings, next(iter(context.frames)).numbers.tolist())
    _do(context, "survey", (), {}, lambda: look_around(context))
    require_same_files(context)
    _do(context, "test", ("survey",), {}, lambda: make_test_set(context))
    number, renewed = 0, False
    while True:
        number += 1
        ending = _cycle(context, number, after_cycle)
        if ending is None:
            continue
        # Once in a call: a pool that is being written to must not keep it for ever.
        if ending.exhausted and not renewed and renew_pool(context, number):
            renewed = True
            number = max(0, number - 2)  # the cycle before evaluates the new frames
            continue
        run.write_state(fixed_settings(settings), ending.reason)
        return ending


def _cycle(
    context: Context, number: int, after_cycle: Callable[[Context, int], None] | None
) -> Ending | None:
    """Do one cycle, or what is left of it; why the run ends with it, or None."""
    run = context.run
    name = cycle_name(number)
    before = f"{cycle_name(number - 1)}/evaluate" if number > 1 else "test"
    steps: list[tuple[str, tuple[str, ...], Callable[[Context, int], Outcome]]] = [
        ("choose", (before,), choose),
        ("reference", (f"{name}/choose",), make_reference),
        ("train", ("test", f"{name}/reference"), train),
        ("evaluate", (f"{name}/train",), evaluate),
        ("spectra", (f"{name}/evaluate",), make_spectra),
        ("judge", (f"{name}/train", f"{name}/spectra"), judge_cycle),
    ]
    assert tuple(step for step, _, _ in steps) == LAST_STEPS
    mark: Mark | None = None
    for step, needs, work in steps:
        extra: Mapping[str, Any] = {}
        if step == "judge":
            extra = {**context.settings.section("targets"), "rule": RULE}
            if number > 1:
                needs = (*needs, f"{cycle_name(number - 1)}/judge")
        mark = _do(
            context,
            f"{name}/{step}",
            needs,
            extra,
            lambda work=work: work(context, number),  # type: ignore[misc]
        )
        if step == "choose" and not mark.facts["count"]:
            reason = "there are no other frames to choose from"
            return Ending(False, reason, number - 1, exhausted=True)
    assert mark is not None
    if run.mark(f"{cycle_name(number + 1)}/choose") is not None:
        return None  # the next one was begun already
    ending = _ending(context, number, mark)
    if ending is None and after_cycle is not None:
        after_cycle(context, number)
    return ending


def _ending(context: Context, number: int, judged: Mark) -> Ending | None:
    """Whether the run ends with this cycle."""
    limits = context.settings.autotrain
    if judged.facts["stop"]:
        return Ending(True, str(judged.facts["line"]), number)
    if number >= limits.max_cycles:
        return Ending(False, f"autotrain.max_cycles = {number} cycles are done", number)
    hours = sum(context.run.seconds().values()) / 3600
    if limits.hours and hours >= limits.hours:
        return Ending(
            False, f"{hours:.1f} of autotrain.hours = {limits.hours:g} are used", number
        )
    return None


def _do(
    context: Context,
    step: str,
    needs: Sequence[str],
    extra: Mapping[str, Any],
    work: Callable[[], Outcome],
) -> Mark:
    """Do a step unless it is done; its mark."""
    run = context.run
    inputs = _inputs(run, needs, extra)
    mark = run.mark(step)
    kind = step.rpartition("/")[2]
    if mark is not None and mark.inputs == inputs:
        return mark
    if kind in _CHEAP:
        run.forget(step)
        mark = None
    if mark is not None or not run.begin(step, inputs):
        raise IncompatibleError(
            f"{run.folder(step)} was made of other data than are there now: a step "
            f"before it has changed. Put that back, or remove {run.folder(step)} to "
            "have it made again."
        )
    remove_partials(run.folder(step))  # of a writer that was killed
    context.teller.begin(f"{step.partition('/')[0]}: {_TITLES[kind]}"
                         if "/" in step else _TITLES[kind])  # fmt: skip
    began = time.monotonic()
    try:
        outcome = work()
    except BaseException:
        run.log(step, time.monotonic() - began, "interrupted")
        raise
    made = run.finish(step, inputs, outcome.files, outcome.facts)
    run.log(step, time.monotonic() - began, made.line)
    run.write_state(fixed_settings(context.settings), "")
    context.teller.say(f"{step}: {made.line}")
    return made


def _inputs(run: RunFolder, needs: Sequence[str], extra: Mapping[str, Any]) -> str:
    """Digest of all that goes into a step."""
    marks = {name: run.mark(name) for name in needs}
    content = {
        "marks": {name: mark and mark.digest for name, mark in marks.items()},
        "extra": extra,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
