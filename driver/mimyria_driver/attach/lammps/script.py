"""An input script and what it includes, as a list of commands in their order.

The lines are taken as they stand: `jump` and `if` are not followed, which is said. Each
command knows the chain of includes that led to it, so that the copy can be patched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError
from mimyria.files import read_plain
from mimyria_driver.attach.lammps.lines import Line, logical_lines, words_of
from mimyria_driver.attach.lammps.variables import Variables
from mimyria_driver.attach.plan import Note

__all__ = ["Command", "Script", "read_script", "read_text"]

_LARGEST: Final = 8 << 20  # bytes of a script
_DEEPEST: Final = 10
_MOST: Final = 20_000  # commands


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: its first word.
        words: the others, with the values of variables in their places.
        file: where it stands, as the user has written the name.
        line: number of its first line there.
        last: number of its last line there.
        chain: lines of the main file, of the file included there, and so on to this.
        unknown: places of variables that have no value here.
        raw: the line as it stands in the file, without its comment.
        comment: behind it.
        index: its place among all commands.
    """

    name: str
    words: tuple[str, ...]
    file: str
    line: int
    last: int
    chain: tuple[int, ...]
    unknown: tuple[str, ...] = ()
    raw: str = ""
    index: int = 0
    comment: str = ""


@dataclass(slots=True)
class Script:
    """All commands of an input.

    Attributes:
        path: of the main file.
        folder: where LAMMPS is started, from which relative paths count.
        commands: in the order of the files.
        notes: what could not be followed.
        variables: as they are after the last line.
    """

    path: Path
    folder: Path
    commands: list[Command] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    variables: Variables = field(default_factory=lambda: Variables({}))


def read_text(path: Path) -> str:
    """A script as text; bytes that are no UTF-8 survive being written again.

    Raises:
        FormatError: it cannot be read, or is no text.
    """
    try:
        content = read_plain(path, _LARGEST)
    except OSError as error:
        raise FormatError(
            f"{path}: cannot be read ({error.strerror or error}). Give the input "
            "script that `lmp -in` reads."
        ) from error
    if b"\0" in content:
        raise FormatError(f"{path}: is no text. Give the input script of LAMMPS.")
    return content.decode("utf-8", errors="surrogateescape")


def read_script(path: Path, folder: Path, given: Mapping[str, str]) -> Script:
    """Read an input script and the files that it includes.

    Args:
        path: of the script.
        folder: where LAMMPS is started.
        given: variables of the command line.

    Raises:
        FormatError: the script cannot be read.
    """
    script = Script(path, folder, variables=Variables(given))
    _read(script, read_text(path), path.name, ())
    return script


def _read(script: Script, text: str, name: str, chain: tuple[int, ...]) -> None:
    for line in logical_lines(text):
        for command in _commands(script, line, name, chain):
            if len(script.commands) >= _MOST:
                script.notes.append(Note("the rest was not read", name, line.first))
                return
            script.commands.append(command)
            _follow(script, command)


def _commands(
    script: Script, line: Line, name: str, chain: tuple[int, ...]
) -> Iterator[Command]:
    expanded, unknown = script.variables.expand(line.text)
    words = words_of(expanded)
    if words:
        yield Command(
            name=words[0],
            words=tuple(words[1:]),
            file=name,
            line=line.first,
            last=line.last,
            chain=(*chain, line.first),
            unknown=unknown,
            raw=line.text,
            index=len(script.commands),
            comment=line.comment,
        )


def _follow(script: Script, command: Command) -> None:
    """What a command does to the reading itself."""
    if command.name == "variable":
        script.variables.define(command.words)
    elif command.name == "next":
        script.variables.stepped.update(command.words)
    elif command.name == "timestep" and len(command.words) == 1:
        try:
            script.variables.time_step = float(command.words[0])
        except ValueError:
            script.variables.time_step = None
    elif command.name == "include" and command.words:
        _include(script, command)


def _include(script: Script, command: Command) -> None:
    name = command.words[0]
    if len(command.chain) > _DEEPEST:
        text = f"includes {name}, which is too deep to follow"
        script.notes.append(Note(text, command.file, command.line))
        return
    try:
        text = read_text(script.folder / name)
    except (FormatError, ValueError):
        said = f"includes {name}, which cannot be read from {script.folder}"
        script.notes.append(Note(said, command.file, command.line))
        return
    _read(script, text, name, command.chain)
