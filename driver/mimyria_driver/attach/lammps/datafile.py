"""A data file of LAMMPS: types, masses, box, and atoms where they can be read.

Lines are read one by one, since such files may be large; what is odd is left out.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Final

from mimyria.errors import FormatError

__all__ = ["Atom", "DataFile", "read_data_file"]

_MOST_LINES: Final = 5_000_000
_COUNT: Final = re.compile(r"^\s*(\d+)\s+(atoms|atom types|bonds)\s*$")
_BOX: Final = re.compile(r"^\s*(\S+)\s+(\S+)\s+([xyz])lo\s+[xyz]hi\s*$")
_TILT: Final = re.compile(r"^\s*(\S+)\s+(\S+)\s+(\S+)\s+xy\s+xz\s+yz\s*$")
_COLUMNS: Final = {
    # after the id: which column is the type, the charge, the first coordinate
    "atomic": (1, None, 2),
    "charge": (1, 2, 3),
    "bond": (2, None, 3),
    "angle": (2, None, 3),
    "molecular": (2, None, 3),
    "full": (2, 3, 4),
}


@dataclass(frozen=True, slots=True)
class Atom:
    """One line of the section Atoms.

    Attributes:
        kind: its type, as the file has it.
        charge: e, or None where the style has none.
        position: in units of length of the run.
    """

    kind: str
    charge: float | None
    position: tuple[float, float, float]


@dataclass(slots=True)
class DataFile:
    """What a data file says.

    Attributes:
        n_atoms: by its head.
        n_types: by its head.
        masses: by type, in the units of the run.
        comments: what stands behind `#` at a mass.
        labels: names of types, where the file has such a section.
        edges: lo and hi of x, y, z.
        tilt: xy, xz, yz.
        style: of the atoms, by the comment behind Atoms.
        atoms: those that could be read.
    """

    n_atoms: int = 0
    n_types: int = 0
    masses: dict[str, float] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    edges: dict[str, tuple[float, float]] = field(default_factory=dict)
    tilt: tuple[float, ...] = (0.0, 0.0, 0.0)
    style: str = ""
    atoms: list[Atom] = field(default_factory=list)

    def type_of(self, label: str) -> str:
        """The number of a type that is named by its label."""
        found = [number for number, name in self.labels.items() if name == label]
        return found[0] if found else label


def read_data_file(path: Path, style: str, most_atoms: int) -> DataFile:
    """Read a data file.

    Args:
        path: of the file, which may end in .gz.
        style: of the atoms, by the script; the file's own word is taken first.
        most_atoms: more of them are not kept.

    Raises:
        FormatError: it cannot be read.
    """
    found = DataFile()
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(2, "no such file")
        with _open(path) as file:
            _read(found, islice(file, _MOST_LINES), style, most_atoms)
    except (OSError, EOFError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise FormatError(f"{path}: cannot be read as a data file ({said}).") from error
    return found


def _open(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    file: IO[str] = opener(path, "rt", encoding="utf-8", errors="replace")
    return file


def _read(found: DataFile, lines: Iterable[str], style: str, most: int) -> None:
    section = ""
    for raw in _after_title(lines):
        text, _, comment = raw.partition("#")
        words = text.split()
        if not words:
            continue
        if _is_header(words):
            section = " ".join(words)
            if section == "Atoms":
                found.style = comment.split()[0] if comment.split() else style
        elif not section:
            _head(found, text)
        elif section == "Masses" and len(words) > 1:
            _mass(found, words, comment.strip())
        elif section == "Atom Type Labels" and len(words) > 1:
            found.labels[words[0]] = words[1]
        elif section == "Atoms" and len(found.atoms) < most:
            _atom(found, words)


def _is_header(words: list[str]) -> bool:
    """Whether they name a section: letters first, and no number second."""
    second = words[1] if len(words) > 1 else "letters"
    return words[0][0].isalpha() and second[0].isalpha()


def _after_title(lines: Iterable[str]) -> Iterator[str]:
    """All lines but the first, which is a title."""
    return islice(iter(lines), 1, None)


def _head(found: DataFile, text: str) -> None:
    if count := _COUNT.match(text):
        if count[2] == "atoms":
            found.n_atoms = int(count[1])
        elif count[2] == "atom types":
            found.n_types = int(count[1])
    elif box := _BOX.match(text):
        found.edges[box[3]] = (float(box[1]), float(box[2]))
    elif tilt := _TILT.match(text):
        found.tilt = tuple(float(each) for each in tilt.groups())


def _mass(found: DataFile, words: list[str], comment: str) -> None:
    kind = found.type_of(words[0])
    found.masses[kind] = float(words[1])
    if comment:
        found.comments[kind] = comment


def _atom(found: DataFile, words: list[str]) -> None:
    if found.style not in _COLUMNS:
        return
    kind, charge, first = _COLUMNS[found.style]
    if len(words) < first + 3:
        return
    x, y, z = (float(word) for word in words[first : first + 3])
    value = None if charge is None else float(words[charge])
    found.atoms.append(Atom(found.type_of(words[kind]), value, (x, y, z)))
