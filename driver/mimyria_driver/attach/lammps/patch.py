"""The copy of an input script with the driver's lines in it.

They stand immediately before the production run, or before the loop that it is in, so
that their fix is the last one. Where the run stands in an included file, the text of
that file takes the place of its `include`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mimyria.errors import FormatError
from mimyria_driver.attach.lammps.meaning import Run
from mimyria_driver.attach.lammps.script import Command, Script, read_text

__all__ = ["Insertion", "hook_lines", "patched", "pipe_lines"]

_RULE: Final = "# ---- mimyria"


@dataclass(frozen=True, slots=True)
class Insertion:
    """Lines of ours.

    Attributes:
        before: the production run.
        after: it.
    """

    before: tuple[str, ...]
    after: tuple[str, ...] = ()


def hook_lines(
    elements: Sequence[str], stride: int, endpoint: str, hook: str
) -> Insertion:
    """Lines for a LAMMPS whose Python calls the hook.

    Args:
        elements: of the types in order.
        stride: steps from one frame to the next.
        endpoint: path of the driver's endpoint.json, from where LAMMPS is started.
        hook: path of the hook's file, likewise.
    """
    start = '${mimyria_endpoint} "' + " ".join(elements) + '" ${mimyria_stride}'
    return Insertion(
        (
            f"variable        mimyria_endpoint index {endpoint}",
            f"variable        mimyria_hook index {hook}",
            f"variable        mimyria_stride index {stride}",
            f"python          mimyria_start input 3 {start} format ssi file "
            "${mimyria_hook}",
            "python          mimyria_start invoke",
            "# The last fix, so that it sees what all others have done.",
            "fix             mimyria all python/invoke ${mimyria_stride} end_of_step "
            "mimyria_frame",
        ),
        (
            "# Wait until the driver has every frame on disk.",
            "python          mimyria_finish exists",
            "python          mimyria_finish invoke",
        ),
    )


def pipe_lines(stride: int, pipe: str) -> Insertion:
    """Lines for any LAMMPS: a binary dump into the pipe that the driver has made."""
    return Insertion(
        (
            f"# {stride} is source.stride of run.toml; masses are a check of types.",
            f"dump            mimyria all custom {stride} {pipe} id type mass x y z "
            "vx vy vz",
            "dump_modify     mimyria sort id flush yes units yes time yes",
        )
    )


def patched(script: Script, run: Run, lines: Insertion) -> str:
    """The text of the main file with our lines.

    Raises:
        FormatError: an included file has gone meanwhile, or the loop of the run goes
            from one file into another.
    """
    begin, end = run.loop or (run.command, run.command)
    if begin.chain[:-1] != end.chain[:-1]:
        raise FormatError(
            f"{begin.file}:{begin.line}: the loop of the production run begins in "
            f"{begin.file} and ends in {end.file}. Put the lines of README.md there."
        )
    return _with_lines(script, read_text(script.path), (), begin, end, lines)


def _with_lines(
    script: Script,
    text: str,
    chain: tuple[int, ...],
    begin: Command,
    end: Command,
    lines: Insertion,
) -> str:
    """Text of the file at this place of the chain of includes."""
    physical = text.split("\n")
    depth = len(chain)
    first = begin.chain[depth] - 1
    if depth + 1 == len(begin.chain):
        before = [f"{_RULE}: run.toml says why.", *lines.before, _RULE]
        after = [_RULE, *lines.after, _RULE] if lines.after else []
        parts = [physical[:first], before, physical[first : end.last], after]
        return "\n".join(
            line for part in (*parts, physical[end.last :]) for line in part
        )
    include = _include_at(script, begin.chain[: depth + 1])
    inner = read_text(script.folder / include.words[0]).rstrip("\n")
    place = [
        f"{_RULE}: what {include.words[0]} includes stands here itself.",
        _with_lines(script, inner, begin.chain[: depth + 1], begin, end, lines),
        f"{_RULE}: end of {include.words[0]}.",
    ]
    return "\n".join([*physical[:first], *place, *physical[include.last :]])


def _include_at(script: Script, chain: tuple[int, ...]) -> Command:
    """The command that includes the next file of a chain."""
    return next(
        each
        for each in script.commands
        if each.name == "include" and each.chain == chain
    )
