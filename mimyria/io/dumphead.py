"""Head of a frame in a binary LAMMPS dump: what its bytes say, and whether they may.

Little-endian, of the form that LAMMPS has had since 2020:

    −10 i64 · "DUMPCUSTOM" · 1 i32 (byte order) · 2 i32 (revision) · step i64 ·
    atoms i64 · box kind i32 · boundary 6 i32 · box 6 f64 (bounds), 9 (and tilts) or
    12 (vectors and origin) · columns i32 · units (i32 length, text) · time (i8 flag,
    f64) · names (i32 length, text) · chunks i32

Every size is checked before bytes are waited for: it is a claim of whoever writes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from mimyria.errors import FormatError

__all__ = ["GENERAL", "MARK", "MOST_HEAD_BYTES", "Head", "read_head"]

_NAME: Final = b"DUMPCUSTOM"
MARK: Final = struct.pack("<q", -len(_NAME)) + _NAME
"""How every frame begins; no numbers of atoms look like it."""
MOST_HEAD_BYTES: Final = 16384
_REVISION: Final = 2
_MOST_ATOMS: Final = 100_000_000
_MOST_COLUMNS: Final = 256
_MOST_CHUNKS: Final = 10_000_000
_LONGEST: Final = {"units": 64, "names": 8192}
_UPRIGHT, _TILTED, GENERAL = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Everything before the numbers of the atoms.

    Attributes:
        step: MD step.
        n_atoms: of the dump's group.
        kind: of the box: upright, tilted, or general.
        boundary: (6,) — of each face; 0 is periodic.
        box: its numbers, as the kind has them.
        units: unit style; LAMMPS says it in the first frame of a dump alone.
        time: simulated time, where the dump says it.
        columns: their names.
        n_chunks: pieces that the numbers come in, one for each rank that wrote.
        length: bytes of the head.
    """

    step: int
    n_atoms: int
    kind: int
    boundary: tuple[int, ...]
    box: tuple[float, ...]
    units: str | None
    time: float | None
    columns: tuple[str, ...]
    n_chunks: int
    length: int

    @property
    def size(self) -> int:
        """Bytes of the whole frame."""
        return self.length + 4 * self.n_chunks + 8 * self.n_atoms * len(self.columns)


class _ShortError(Exception):
    """More bytes are needed."""


class _Reader:
    """Numbers and texts, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, form: str) -> tuple[Any, ...]:
        size = struct.calcsize(f"<{form}")
        if self.place + size > len(self.data):
            raise _ShortError
        values = struct.unpack_from(f"<{form}", self.data, self.place)
        self.place += size
        return values

    def count(self, what: str, low: int, high: int, form: str = "i") -> int:
        """A number that says how much follows.

        Raises:
            FormatError: it says too much or too little.
        """
        (number,) = self.take(form)
        if not low <= number <= high:
            raise FormatError(
                f"the head of a frame says {number} {what}, but {low} to {high} are "
                "possible. Is this a dump of another format, or damaged?"
            )
        return int(number)

    def text(self, what: str) -> str:
        length = self.count(f"letters of {what}", 0, _LONGEST[what])
        (raw,) = self.take(f"{length}s")
        if not raw.isascii():
            raise FormatError(f"the {what} of a frame are no text. Is it damaged?")
        return str(raw, "ascii")


def read_head(data: bytes) -> Head | None:
    """The head at the beginning of some bytes; None while there are too few."""
    reader = _Reader(data)
    try:
        _check_form(reader)
        (step,) = reader.take("q")
        n_atoms = reader.count("atoms", 1, _MOST_ATOMS, "q")
        kind = reader.count("as the kind of its box", _UPRIGHT, GENERAL)
        boundary = reader.take("6i")
        box = reader.take({_UPRIGHT: "6d", _TILTED: "9d", GENERAL: "12d"}[kind])
        n_columns = reader.count("columns", 1, _MOST_COLUMNS)
        units = reader.text("units") or None
        has_time = reader.count("as the flag of its time", 0, 1, "b")
        time = reader.take("d")[0] if has_time else None
        columns = tuple(reader.text("names").split())
        n_chunks = reader.count("chunks", 1, _MOST_CHUNKS)
    except _ShortError:
        return None
    if step < 0 or len(columns) != n_columns or len(set(columns)) != n_columns:
        raise FormatError(
            f"the head of a frame does not fit together: step {step}, {n_columns} "
            f"columns with the names {' '.join(columns)}. Is it damaged?"
        )
    return Head(
        step, n_atoms, kind, boundary, box, units, time, columns, n_chunks, reader.place
    )  # fmt: skip


def _check_form(reader: _Reader) -> None:
    """Refuse everything that is no `dump custom` of a LAMMPS since 2020."""
    (mark,) = reader.take("q")
    if mark != -len(_NAME):
        raise FormatError(
            "this is no binary `dump custom` of LAMMPS in little-endian form. The file "
            "of the dump must end in .bin, the style must be custom, and LAMMPS must "
            "be of 2020 or later; text dumps end in .dump or .lammpstrj."
        )
    (name,) = reader.take(f"{len(_NAME)}s")
    order, revision = reader.take("2i")
    if (name, order, revision) != (_NAME, 1, _REVISION):
        raise FormatError(
            f"revision {_REVISION} of {_NAME.decode()} in little-endian form can be "
            f"read, but this is revision {revision} of {name.decode('latin1')!a} "
            f"(byte order {order}). Write a text dump instead."
        )
