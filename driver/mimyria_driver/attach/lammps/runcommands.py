"""Commands that say how atoms move and when: units, time step, fixes, runs, loops."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from mimyria_driver.attach.lammps.fixes import Fix, target_temperature
from mimyria_driver.attach.lammps.meaning import TIME_UNITS, Meaning, Run, number_of
from mimyria_driver.attach.lammps.script import Command, Script

__all__ = ["RUN_COMMANDS"]

_BACK: Final = re.compile(r"\bjump\s+SELF\s+(\w+)")
_MATTERS: Final = re.compile(
    r"\b(run|fix|unfix|timestep|units|read_data|include|mass|minimize|clear|jump)\b"
)


def _units(meaning: Meaning, command: Command, _: Script) -> None:
    if command.words:
        meaning.units, meaning.units_given = command.words[0], True
        meaning.time_step = TIME_UNITS.get(meaning.units, (0.0, 0.005))[1]


def _timestep(meaning: Meaning, command: Command, _: Script) -> None:
    value = number_of(command.words[0]) if command.words else None
    meaning.time_step = value if value is not None and 0 < value < 1e30 else None


def _fix(meaning: Meaning, command: Command, _: Script) -> None:
    if len(command.words) < 3:
        return
    fix = Fix.of(command.words, command.file, command.line)
    # A fix that is defined anew keeps its place.
    meaning.fixes[fix.name] = fix
    target = target_temperature(fix)
    if target is not None:
        place = f"{command.file}:{command.line}, fix {fix.style}"
        meaning.temperature = (target, place)
    if fix.style == "python/invoke" and "mimyria_frame" in fix.words:
        meaning.attached = command


def _unfix(meaning: Meaning, command: Command, _: Script) -> None:
    for name in command.words:
        meaning.fixes.pop(name, None)


def _velocity(meaning: Meaning, command: Command, _: Script) -> None:
    words = command.words
    if len(words) > 2 and words[1] in ("create", "scale"):
        place = f"{command.file}:{command.line}, velocity {words[1]}"
        meaning.temperature = (words[2], place)


def _run(meaning: Meaning, command: Command, _: Script) -> None:
    steps = number_of(command.words[0]) if command.words else None
    whole = steps is not None and 0 <= steps < 1e15 and steps == int(steps)
    if "upto" in command.words:
        text = "run ... upto: how many steps that are depends on where it begins"
        meaning.note(command, text)
        whole = whole and not meaning.runs
    meaning.runs.append(
        Run(
            command,
            int(steps) if whole and steps is not None else None,
            tuple(meaning.fixes.values()),
            meaning.time_step,
            meaning.temperature,
        )
    )


def _label(meaning: Meaning, command: Command, _: Script) -> None:
    if command.words:
        meaning.labels[command.words[0]] = command


def _jump(meaning: Meaning, command: Command, script: Script) -> None:
    """Back to a label: what stands between is a loop."""
    words = command.words
    if words[:1] not in (("SELF",), (script.path.name,), (str(script.path),)):
        meaning.note(command, f"jump goes on in {' '.join(words)}, which was not read")
    elif len(words) > 1 and words[1] in meaning.labels:
        _close_loop(meaning, words[1], command)
    else:
        text = "jump goes forward: what stands between was read all the same"
        meaning.note(command, text)


def _close_loop(meaning: Meaning, name: str, jump: Command) -> None:
    """All runs between a label and a jump back to it stand in a loop."""
    label = meaning.labels.get(name)
    if label is None:
        return
    for index, run in enumerate(meaning.runs):
        outer = run.loop is None or label.index <= run.loop[0].index
        if run.command.index > label.index and outer:
            meaning.runs[index] = dataclasses.replace(run, loop=(label, jump))


def _if(meaning: Meaning, command: Command, _: Script) -> None:
    for name in _BACK.findall(command.raw):
        _close_loop(meaning, name, command)
    if _MATTERS.search(_BACK.sub("", command.raw)):
        text = "if: what it does is known in the run alone, so it was not read"
        meaning.note(command, text)


def _clear(meaning: Meaning, command: Command, _: Script) -> None:
    fresh = Meaning()
    for name in ("units", "units_given", "species", "data", "atoms_known", "copies"):
        setattr(meaning, name, getattr(fresh, name))
    for name in ("time_step", "temperature", "fixes", "atom_style"):
        setattr(meaning, name, getattr(fresh, name))
    meaning.warn(command, "clear begins another system; the last one is taken")


def _rerun(meaning: Meaning, command: Command, _: Script) -> None:
    text = "rerun streams stored frames: docs/driver.md, stored trajectories"
    meaning.note(command, text)


def _restart(meaning: Meaning, command: Command, _: Script) -> None:
    meaning.restart = command if command.words[:1] != ("0",) else None


def _run_style(meaning: Meaning, command: Command, _: Script) -> None:
    if command.words[:1] not in (("verlet",), ("respa",), ("verlet/split",)):
        meaning.note(command, "run_style is none of verlet and respa")


RUN_COMMANDS: Final[dict[str, Callable[[Meaning, Command, Script], None]]] = {
    "clear": _clear,
    "fix": _fix,
    "if": _if,
    "jump": _jump,
    "label": _label,
    "rerun": _rerun,
    "restart": _restart,
    "run": _run,
    "run_style": _run_style,
    "timestep": _timestep,
    "unfix": _unfix,
    "units": _units,
    "velocity": _velocity,
}
