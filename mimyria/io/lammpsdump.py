"""LAMMPS dumps: `dump ID GROUP custom N FILE id type element x y z vx vy vz` as text.

Atoms are sorted by their id. Positions may be plain (x), unwrapped (xu), scaled (xs) or
both (xsu); boxes orthogonal, restricted or general triclinic. `dump_modify ID units
yes` makes the file say its units; without it the unit of the velocities must be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from mimyria.errors import FormatError, MimyriaError, UnitError
from mimyria.frame import Array, Frame
from mimyria.io.compressed import TextSource
from mimyria.io.layouts import velocity_factor

__all__ = ["read_lammps_dump", "restricted_box"]

_STYLES: Final = {"real": "Angstrom/fs", "metal": "Angstrom/ps"}
"""Unit of velocities of the unit styles whose positions are in Å."""

_POSITIONS: Final = (
    (("x", "y", "z"), False),
    (("xu", "yu", "zu"), False),
    (("xs", "ys", "zs"), True),
    (("xsu", "ysu", "zsu"), True),
)
_VELOCITIES: Final = ("vx", "vy", "vz")
_NO_UNIT: Final = (
    "Write the dump with `dump_modify ... units yes`, or give the argument "
    "velocities_unit."
)
_MOST_ATOMS: Final = 100_000_000


def read_lammps_dump(
    source: TextSource,
    *,
    velocities_unit: str | None = None,
    elements: Mapping[str, str] | None = None,
) -> Iterator[Frame]:
    """Frame after frame of a dump.

    Args:
        source: the file.
        velocities_unit: key of the known units, in place of what the file says.
        elements: element symbol of each type, where there is no column `element`.

    Raises:
        FormatError: the file is damaged, cut, or lacks columns.
        UnitError: nobody says the unit of the velocities.
    """
    unit = velocities_unit
    while True:
        begin = source.line_number
        try:
            sections = _sections(source)
            if sections is None:
                return
            if velocities_unit is None and "UNITS" in sections:
                unit = _unit_of_style(sections["UNITS"][1][0].strip())
            yield _frame(sections, unit, elements)
        except MimyriaError as error:
            raise type(error)(
                f"{source.path}, frame at line {begin + 1}: {error}"
            ) from error
        except (ValueError, IndexError) as error:
            raise FormatError(
                f"{source.path}, frame at line {begin + 1}: not readable as a LAMMPS "
                f"dump ({error}). Is the file complete?"
            ) from error


Sections = dict[str, tuple[str, list[str]]]


def _sections(source: TextSource) -> Sections | None:
    """Items of one frame: words behind the name, and lines; None at the end."""
    found: Sections = {}
    n_atoms = -1
    while True:
        line = source.line()
        if not line:
            if found.keys() - {"UNITS"}:
                raise FormatError("the last frame is not complete.")
            return None
        if not line.strip():
            continue
        name, words, lines = _item_of(line, source, n_atoms)
        found[name] = (words, lines)
        if name == "NUMBER OF ATOMS":
            n_atoms = int(lines[0])
            if not 0 < n_atoms <= _MOST_ATOMS:
                raise FormatError(f"{n_atoms} atoms are no frame.")
        if name == "ATOMS":
            return found


def _item_of(line: str, source: TextSource, n_atoms: int) -> tuple[str, str, list[str]]:
    """One item: its name, the words behind it, and its lines."""
    if not line.startswith("ITEM:"):
        raise FormatError(f"'ITEM:' was expected, but not '{line.strip()[:40]}'.")
    name, words, length = _item(line[5:].strip(), n_atoms)
    lines = source.lines(length)
    if len(lines) < length:
        raise FormatError(f"{name} has {len(lines)} lines instead of {length}.")
    if not lines[-1].endswith("\n"):
        raise FormatError("the last line is cut, perhaps within a number.")
    return name, words, lines


def _item(text: str, n_atoms: int) -> tuple[str, str, int]:
    """Name of an item, the words behind it, and how many lines follow."""
    lengths = {
        "UNITS": 1, "TIME": 1, "TIMESTEP": 1, "NUMBER OF ATOMS": 1, "BOX BOUNDS": 3,
        "ATOMS": n_atoms,
    }  # fmt: skip
    # The longest name first: TIME begins TIMESTEP.
    for name in sorted(lengths, key=len, reverse=True):
        if text.startswith(name):
            if lengths[name] < 0:
                raise FormatError("ATOMS stands before NUMBER OF ATOMS.")
            return name, text[len(name) :].strip(), lengths[name]
    raise FormatError(f"the item '{text[:40]}' is unknown.")


def _unit_of_style(style: str) -> str:
    if style not in _STYLES:
        raise UnitError(
            f"the units of the dump are '{style}', but only {' and '.join(_STYLES)} "
            "can be read. Convert the trajectory, or say velocities_unit if its "
            "positions are in Angstrom."
        )
    return _STYLES[style]


def _frame(
    sections: Sections, unit: str | None, elements: Mapping[str, str] | None
) -> Frame:
    missing = {"TIMESTEP", "BOX BOUNDS", "ATOMS"} - sections.keys()
    if missing:
        raise FormatError(f"the frame has no {', '.join(sorted(missing))}.")
    names, lines = sections["ATOMS"][0].split(), sections["ATOMS"][1]
    rows = [line.split() for line in lines]
    if any(len(row) != len(names) for row in rows):
        raise FormatError(
            f"every atom must have {len(names)} columns ({' '.join(names)}), but not "
            "all have. Is the last line cut?"
        )
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    if "id" not in columns:
        raise FormatError(
            "there is no column id, so the order of the atoms is not known. Add id to "
            "the dump command."
        )
    order = np.argsort(np.array(columns["id"], np.int64))
    origin, cell = _box(*sections["BOX BOUNDS"])
    return Frame(
        _numbers(columns, elements)[order],
        _positions(columns, origin, cell)[order],
        cell,
        _velocities(columns, unit, order),
        int(sections["TIMESTEP"][1][0]),
        0,
        _periodic(sections["BOX BOUNDS"][0]),
    )


Columns = Mapping[str, tuple[str, ...]]


def _numbers(columns: Columns, elements: Mapping[str, str] | None) -> NDArray[np.int64]:
    if "element" in columns and (elements is None or "type" not in columns):
        symbols = columns["element"]
    elif "type" in columns and elements is not None:
        absent = sorted(set(columns["type"]) - elements.keys())
        if absent:
            raise FormatError(
                f"the type {absent[0]} has no element; known are "
                f"{', '.join(f'{k}={v}' for k, v in elements.items())}."
            )
        symbols = tuple(elements[name] for name in columns["type"])
    else:
        raise FormatError(
            "the elements of the atoms are not known. Give the element of every type "
            "(elements, as 1=O 2=H), or add the column element to the dump."
        )
    unknown = sorted({symbol for symbol in symbols if symbol not in atomic_numbers})
    if unknown:
        raise FormatError(f"there is no element '{unknown[0]}'.")
    return np.array([atomic_numbers[symbol] for symbol in symbols], np.int64)


def _positions(columns: Columns, origin: Array, cell: Array) -> Array:
    for names, scaled in _POSITIONS:
        if all(name in columns for name in names):
            values = _matrix(columns, names)
            return values @ cell + origin if scaled else values
    raise FormatError("there are no columns x y z (or xu, xs, xsu) of the positions.")


def _velocities(
    columns: Columns, unit: str | None, order: NDArray[np.int64]
) -> Array | None:
    if not all(name in columns for name in _VELOCITIES):
        return None
    factor = velocity_factor(unit, _NO_UNIT)
    return _matrix(columns, _VELOCITIES)[order] * factor


def _matrix(columns: Columns, names: tuple[str, ...]) -> Array:
    matrix: Array = np.array([columns[name] for name in names], np.float64).T
    return matrix


def _box(words: str, lines: list[str]) -> tuple[Array, Array]:
    """Origin and cell (rows are lattice vectors) of the three lines of bounds."""
    rows = np.array([line.split() for line in lines], np.float64)
    if words.startswith("abc"):  # general triclinic: vectors, then the origin
        return rows[:, 3].copy(), rows[:, :3].copy()
    tilts = rows[:, 2].copy() if rows.shape[1] == 3 else np.zeros(3)
    return restricted_box(rows[:, 0], rows[:, 1], tilts)


def restricted_box(low: Array, high: Array, tilts: Array) -> tuple[Array, Array]:
    """Origin and cell (rows are lattice vectors) of a box as dumps give it.

    Args:
        low: (3,) — lower bounds, which are those of an upright box around a tilted one.
        high: (3,) — upper bounds.
        tilts: (3,) — xy, xz, yz.
    """
    xy, xz, yz = tilts
    low = low - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high = high - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    cell: Array = np.diag(high - low)
    cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    return low, cell


def _periodic(words: str) -> tuple[bool, bool, bool]:
    flags = [word == "pp" for word in words.split()[-3:]]
    if len(flags) != 3:
        return True, True, True  # older dumps do not say
    return flags[0], flags[1], flags[2]
