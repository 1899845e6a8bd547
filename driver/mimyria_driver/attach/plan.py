"""A plan: what an input tells about the run, and what is still to be asked.

Both engines' readers make one; the run file is written from it. It holds values and
sentences and reads no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Attached", "Note", "Plan", "Written"]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about a line of the input.

    Attributes:
        text: what is to be known about it.
        file: in which file, "" if it is about the whole.
        line: its number, from 1; 0 if it is about the whole.
    """

    text: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """`in.lammps:12: text`."""
        if not self.file:
            return self.text
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Written:
    """A value of the run file.

    Attributes:
        value: as TOML has it; None: it cannot be known, and its line stays a comment.
        why: where the value comes from, or how to find it.
    """

    value: object
    why: str = ""


@dataclass(slots=True)
class Plan:
    """What is known of a run.

    Attributes:
        engine: "LAMMPS" or "i-PI".
        input: the input that was read.
        settings: of each section, values by the name of the setting.
        warnings: what will go wrong, or differ from what the user may expect.
        unread: what was not understood and may matter.
        asked: what the user has to fill in before the driver starts.
        said: what was found, for people.
    """

    engine: str
    input: Path
    settings: dict[str, dict[str, Written]] = field(default_factory=dict)
    warnings: list[Note] = field(default_factory=list)
    unread: list[Note] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def set(self, section: str, **values: Written) -> None:
        """Give values of a section, in the order in which they shall stand."""
        self.settings.setdefault(section, {}).update(values)

    def warn(self, text: str, file: str = "", line: int = 0) -> None:
        """Add a warning."""
        note = Note(text, file, line)
        if note not in self.warnings:
            self.warnings.append(note)


@dataclass(frozen=True, slots=True)
class Attached:
    """A plan and what carries it out.

    Attributes:
        plan: what the run file says.
        files: content of the other files by name.
        input: name of the copy of the input.
        pipe: name of a pipe to be made, or "".
    """

    plan: Plan
    files: Mapping[str, str]
    input: str
    pipe: str = ""
