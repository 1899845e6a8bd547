r"""CP2K input files as a tree: read with their preprocessor, changed, written again.

The grammar is CP2K's: sections `&NAME parameter … &END NAME`, one keyword a line, names
in any case, `#` and `!` before comments, `\` at the end of a line that goes on, and
the preprocessor's @SET, ${NAME}, @IF … @ENDIF and @INCLUDE. No list of known sections
and keywords is needed, so inputs of every version pass; CP2K itself checks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mimyria.errors import FormatError

__all__ = ["Keyword", "Section", "read_input"]

_DEEPEST: Final = 20  # includes within includes; more is a circle
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?:-([^}]*))?\}|\$(\w+)")
_COMMENT: Final = re.compile(r"""("[^"]*"|'[^']*')|[#!].*""")


@dataclass(slots=True)
class Keyword:
    """One line of a section: a keyword and its value, or a row such as a coordinate."""

    name: str
    value: str = ""


@dataclass(slots=True)
class Section:
    """A section: keywords and sections in their order; names are compared in capitals.

    Attributes:
        name: in capitals; the empty string for the whole file.
        parameter: what stands behind the name.
        entries: the lines and sections within.
    """

    name: str
    parameter: str = ""
    entries: list[Keyword | Section] = field(default_factory=list)

    def sections(self, name: str) -> list[Section]:
        """All sections of this name directly below."""
        return [
            entry
            for entry in self.entries
            if isinstance(entry, Section) and entry.name == name.upper()
        ]

    def find(self, *path: str) -> Section | None:
        """The first section at the end of a path, or None."""
        section: Section = self
        for name in path:
            found = section.sections(name)
            if not found:
                return None
            section = found[0]
        return section

    def require(self, *path: str) -> Section:
        """The first section at the end of a path; made where it is not there."""
        section: Section = self
        for name in path:
            found = section.find(name)
            if found is None:
                found = Section(name.upper())
                section.entries.append(found)
            section = found
        return section

    def get(self, name: str) -> str | None:
        """Value of a keyword, or None."""
        for entry in self.entries:
            if isinstance(entry, Keyword) and entry.name.upper() == name.upper():
                return entry.value
        return None

    def set(self, name: str, value: str) -> None:
        """Give a keyword one value, in the place where it stood or at the end."""
        for index, entry in enumerate(self.entries):
            if isinstance(entry, Keyword) and entry.name.upper() == name.upper():
                self.remove(name)
                self.entries.insert(index, Keyword(name.upper(), value))
                return
        self.entries.append(Keyword(name.upper(), value))

    def remove(self, *names: str) -> None:
        """Take out all keywords and sections of these names directly below."""
        unwanted = {name.upper() for name in names}
        self.entries = [e for e in self.entries if e.name.upper() not in unwanted]

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Keyword]]:
        """Every keyword below, each with its path, `DFT/SCF`."""
        for entry in self.entries:
            if isinstance(entry, Keyword):
                yield "/".join(path), entry
            else:
                yield from entry.walk((*path, entry.name))

    def copy(self) -> Section:
        """A tree of its own."""
        return Section(
            self.name,
            self.parameter,
            [
                e.copy() if isinstance(e, Section) else Keyword(e.name, e.value)
                for e in self.entries
            ],
        )

    def text(self) -> str:
        """The tree as an input file."""
        return "\n".join(self._lines(0)) + "\n"

    def _lines(self, depth: int) -> Iterator[str]:
        margin = "  " * depth
        for entry in self.entries:
            if isinstance(entry, Keyword):
                yield f"{margin}{entry.name} {entry.value}".rstrip()
            else:
                yield f"{margin}&{entry.name} {entry.parameter}".rstrip()
                yield from entry._lines(depth + 1)
                yield f"{margin}&END {entry.name}"


def read_input(path: Path) -> Section:
    """Read an input with all that it includes; variables and conditions are resolved.

    Files that are included are looked for beside the file that includes them.

    Raises:
        FormatError: the file breaks CP2K's grammar; names the line.
        FileNotFoundError: it, or a file that it includes, is not there.
    """
    root = Section("")
    open_sections = [root]
    for place, line in _preprocessed(path, {}, 0):
        if not line.startswith("&"):
            name, _, value = line.partition(" ")
            open_sections[-1].entries.append(Keyword(name, value.strip()))
            continue
        name, _, parameter = line[1:].partition(" ")
        if name.upper() != "END":
            section = Section(name.upper(), parameter.strip())
            open_sections[-1].entries.append(section)
            open_sections.append(section)
            continue
        closing = parameter.strip().upper()
        if len(open_sections) == 1 or closing not in ("", open_sections[-1].name):
            raise FormatError(
                f"{place}: '&END {closing}' does not close the section "
                f"'{open_sections[-1].name or 'none is open'}'."
            )
        open_sections.pop()
    if len(open_sections) > 1:
        raise FormatError(f"{path}: the section &{open_sections[-1].name} has no &END.")
    return root


def _preprocessed(
    path: Path, variables: dict[str, str], depth: int
) -> Iterator[tuple[str, str]]:
    """Lines that are left for CP2K's parser, each with its place for messages."""
    if depth > _DEEPEST:
        raise FormatError(f"{path}: files include each other in a circle.")
    active = True
    for number, line in _logical_lines(path):
        place = f"{path}, line {number}"
        directive = line.split()[0].upper() if line.startswith("@") else ""
        if directive == "@ENDIF":
            active = True
            continue
        if not active:
            continue
        line = _substituted(line, variables, place)
        rest = line.partition(" ")[2].strip()
        if directive == "":
            yield place, line
        elif directive == "@IF":
            active = _holds(rest)
        elif directive == "@SET":
            name, _, value = rest.partition(" ")
            variables[name.upper()] = value.strip()
        elif directive in ("@INCLUDE", "@XCTYPE"):
            included = path.parent / rest.strip("\"'")
            yield from _preprocessed(included, variables, depth + 1)
        elif directive != "@PRINT":
            raise FormatError(f"{place}: unknown directive '{directive}'.")


def _logical_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without comments and blanks, those that go on joined."""
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    held = ""
    for number, raw in enumerate(path.read_text().splitlines(), start=1):
        line = _COMMENT.sub(lambda match: match[1] or "", raw).strip()
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        line = (held + line).strip()
        held = ""
        if line:
            yield number, " ".join(line.split()) if '"' not in line else line


def _substituted(line: str, variables: dict[str, str], place: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = (match[1] or match[3]).upper()
        if name in variables:
            return variables[name]
        if match[2] is not None:
            return match[2]
        raise FormatError(f"{place}: the variable {name} was never set by @SET.")

    return _VARIABLE.sub(value, line)


def _holds(condition: str) -> bool:
    """CP2K's rule: `a == b`, `a /= b`, or anything that is neither empty nor 0."""
    text = condition.strip("() ").upper()
    for sign, wanted in (("==", True), ("/=", False)):
        if sign in text:
            left, _, right = text.partition(sign)
            return (left.strip() == right.strip()) is wanted
    return text not in ("", "0", "F", "FALSE", ".FALSE.")
