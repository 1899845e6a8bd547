"""From an input script of LAMMPS to a plan, and to the files that carry it out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError, SettingsError
from mimyria_driver.attach.common import (
    Timing,
    plan_analysis,
    plan_models,
    plan_run,
)
from mimyria_driver.attach.elements import UNKNOWN
from mimyria_driver.attach.lammps.facts import (
    charge_of,
    elements_of,
    molecules_of,
    temperature_of,
    time_step_of,
)
from mimyria_driver.attach.lammps.fixes import is_integrator, remarks
from mimyria_driver.attach.lammps.meaning import TIME_UNITS, Meaning, Run
from mimyria_driver.attach.lammps.patch import (
    Insertion,
    hook_lines,
    patched,
    pipe_lines,
)
from mimyria_driver.attach.lammps.reading import read_meaning
from mimyria_driver.attach.lammps.script import Script, read_script
from mimyria_driver.attach.plan import Attached, Plan, Written
from mimyria_driver.lammps.bundle import bundle_hook

__all__ = ["attach_lammps"]

_HOOK: Final = "mimyria_hook.py"
_PIPE: Final = "frames.bin"


def attach_lammps(
    path: Path, output: Path, given: Mapping[str, str], *, hook: bool
) -> Attached:
    """Read an input script and make what is needed to watch it.

    Args:
        path: of the script; LAMMPS is started in its folder.
        output: folder of the new files.
        given: variables of the command line.
        hook: whether LAMMPS calls the hook; else it dumps into a pipe.

    Raises:
        FormatError: it is no script, or has nothing that can be watched.
        SettingsError: the folder cannot be named in a script.
    """
    script = read_script(path, path.parent, given)
    meaning = read_meaning(script)
    run = _production(script, meaning)
    elements, reasons = elements_of(meaning)
    steps = None if run.loop else run.steps
    timing = Timing.of(time_step_of(meaning, run), steps, elements)
    plan = Plan("LAMMPS", path, warnings=meaning.warnings, unread=meaning.notes)
    _say(plan, meaning, run, timing, elements, reasons)
    _plan_source(plan, timing, elements, hook=hook)
    name = _copy_name(path)
    _ask_elements(plan, elements, reasons, f"mimyria_start in {name}" if hook else "")
    plan_run(plan)
    plan_models(plan, elements, charge_of(meaning))
    formulas = molecules_of(meaning, elements)
    plan_analysis(plan, timing, temperature_of(meaning, run), formulas)
    _warn_of_run(plan, meaning, run)
    lines = _lines(os.path.relpath(output, path.parent), elements, timing, hook=hook)
    files = {name: patched(script, run, lines)}
    if hook:
        files[_HOOK] = bundle_hook()
    return Attached(plan, files, name, "" if hook else _PIPE)


def _copy_name(path: Path) -> str:
    """`in.water` → `in.mimyria.water`, `water.in` → `water.mimyria.in`."""
    return f"{path.stem}.mimyria{path.suffix}"


def _production(script: Script, meaning: Meaning) -> Run:
    """The run that is watched.

    Raises:
        FormatError: there is none, or it cannot be watched.
    """
    if meaning.attached is not None:
        line = meaning.attached
        raise FormatError(
            f"{line.file}:{line.line}: calls the driver's hook already. Give the input "
            "without it, or use the run file that belongs to it."
        )
    run = meaning.production
    if run is None:
        raise FormatError(
            f"{script.path}: must have a `run` of some steps, but none of its "
            f"{len(script.commands)} commands is one. Give the input script that "
            "`lmp -in` reads."
        )
    if meaning.units not in TIME_UNITS:
        said = f"has units {meaning.units}" if meaning.units_given else "sets no units"
        raise FormatError(
            f"{script.path}: {said}, so that nothing in it is a femtosecond or an "
            "Angstrom. Write it in units real or metal."
        )
    for fix in run.fixes:
        if fix.style == "ipi":
            raise FormatError(
                f"{fix.file}:{fix.line}: i-PI moves the atoms of this input (fix ipi). "
                "Give the input.xml of i-PI instead."
            )
    return run


def _say(
    plan: Plan,
    meaning: Meaning,
    run: Run,
    timing: Timing,
    elements: Sequence[str],
    reasons: Sequence[str],
) -> None:
    """What was found, for people."""
    for number, (symbol, why) in enumerate(zip(elements, reasons, strict=True), 1):
        plan.said.append(f"type {number} is {symbol}: {why}")
    if timing.time_step is None:
        plan.said.append("time step: not to be known here")
    else:
        units = meaning.units
        plan.said.append(f"time step {timing.time_step:g} fs (units {units})")
    place = f"{run.command.file}:{run.command.line}"
    words = " ".join(("run", *run.command.words))
    others = len(meaning.runs) - 1
    more = f", the last of {others + 1} runs" if others else ""
    plan.said.append(f"the production run is {place}: {words}{more}")
    plan.said.append(f"a frame every {timing.stride} steps: {timing.why}")


def _plan_source(
    plan: Plan, timing: Timing, elements: Sequence[str], *, hook: bool
) -> None:
    if hook:
        plan.set("source", kind=Written("lammps", "the hook says all else by itself"))
        return
    types = tuple(f"{n}={symbol}" for n, symbol in enumerate(elements, start=1))
    plan.set(
        "source",
        kind=Written("lammps-dump", "a binary dump, which any LAMMPS can write"),
        path=Written(_PIPE, "`init` has made it; LAMMPS waits at it for the driver"),
        types=Written(types, "as the input has them"),
        time_step=Written(timing.time_step, "as the input has it"),
        stride=Written(timing.stride, timing.why),
    )
    if timing.time_step is None:
        plan.asked.append("source.time_step: the time step in fs")


def _ask_elements(
    plan: Plan, elements: Sequence[str], reasons: Sequence[str], place: str
) -> None:
    """What the user has to say about types."""
    for number, symbol in enumerate(elements, start=1):
        if symbol == UNKNOWN:
            plan.asked.append(
                f"the element of type {number} ({reasons[number - 1]}): put it in the "
                f"place of its {UNKNOWN} in {place or 'source.types'}"
            )


def _warn_of_run(plan: Plan, meaning: Meaning, run: Run) -> None:
    """What a user should know about the production run."""
    for fix, text in remarks(run.fixes):
        plan.warn(f"fix {fix.style} {text}", fix.file, fix.line)
    place = run.command.file, run.command.line
    if not any(is_integrator(fix.style) for fix in run.fixes):
        plan.warn("no fix that moves atoms was seen before the production run", *place)
    if len([each for each in meaning.runs if each.steps != 0]) > 1:
        plan.warn(
            "the last run is taken for the production, those before it for "
            "equilibration; if that is not so, move the lines between `# ---- mimyria`",
            *place,
        )
    if run.loop:
        plan.warn(
            "stands in a loop: the driver's lines stand before it. Fixes defined in it "
            "come after the driver's, which must be the last one; steps that are "
            "counted anew are taken for the engine going back",
            *place,
        )
    if meaning.restart is not None:
        plan.warn(
            "writes restart files: with the option barrier none is ever ahead of the "
            "driver (docs/operation.md)",
            meaning.restart.file,
            meaning.restart.line,
        )


def _lines(
    away: str, elements: Sequence[str], timing: Timing, *, hook: bool
) -> Insertion:
    """Our lines, with paths from where LAMMPS is started.

    Raises:
        SettingsError: a path has what a script cannot have.
    """
    if any(letter.isspace() or letter in "$\"'&#" for letter in away):
        raise SettingsError(
            f"The path '{away}' cannot stand in a script of LAMMPS. Give an --output "
            "without blanks, quotes and signs."
        )
    near = "" if away == "." else f"{away}/"
    if hook:
        endpoint = f"{near}spectrum/endpoint.json"
        return hook_lines(elements, timing.stride, endpoint, f"{near}{_HOOK}")
    return pipe_lines(timing.stride, f"{near}{_PIPE}")
