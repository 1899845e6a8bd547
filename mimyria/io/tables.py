"""Tables of spectra as text: CSV in and out.

Read is what spreadsheets, data bases and plain two-column files give: comma, semicolon,
tab or blanks; names and units in the first rows or none; remarks after `#`; decimal
commas where columns are parted by semicolons or tabs. Nothing is guessed that would
change a number: a unit other than cm⁻¹ in the column of wavenumbers is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FormatError, IncompatibleError, UnitError
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.spectra import Spectrum

__all__ = ["read_table", "write_table"]

_SEPARATORS: Final = (";", "\t", ",")
_ABSCISSA: Final = ("wavenumber", "wave number", "nu", "cm-1", "cm^-1", "1/cm", "cm⁻¹")
_WAVENUMBER_UNITS: Final = ("cm^-1", "cm-1", "1/cm", "cm⁻¹", "cm**-1", "")
_OTHER_UNITS: Final = ("nm", "um", "µm", "μm", "micron", "thz", "ev", "mev", "hz", "fs")
_ERROR: Final = "error"
_LOOKED_AT: Final = 9  # lines at the end, to find out what parts the columns
_RESOLUTION: Final = re.compile(
    r"resolution[\s:=]+(\d+(?:\.\d*)?)\s*cm\^?-1", re.IGNORECASE
)
_MASKED: Final = ("", "nan", "na", "-")


@dataclass(frozen=True, slots=True)
class _Table:
    names: list[str]
    units: list[str]
    columns: Array  # (n_rows, n_columns)
    resolution: float  # cm⁻¹; 0 where no remark says it


def read_table(path: str | Path, *, column: str | None = None) -> Spectrum:
    """One spectrum of a text table, with rising wavenumbers.

    A column named `<column> error` (or `error`) gives the standard errors, and a remark
    such as `# resolution 4 cm^-1` the resolution.

    Args:
        path: the file.
        column: name of the column of intensities, or its number from 1; None: the
            first that is neither the wavenumber nor an error.

    Raises:
        FormatError: it is no such table.
        UnitError: the abscissa is not in cm⁻¹.
    """
    path = Path(path)
    try:
        table = _parse(path.read_bytes())
        return _spectrum(table, column, path.stem)
    except UnitError as error:
        raise UnitError(f"{path}: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write_table(
    path: str | Path, spectra: Sequence[Spectrum], *, remarks: Sequence[str] = ()
) -> None:
    """Write spectra of one grid: names, units, then numbers of 10 digits.

    Each spectrum has a column, and a second one `<name> error` where it has errors.

    Args:
        path: the file; an existing one is replaced.
        spectra: all on the same wavenumbers.
        remarks: lines for the head, written after `#`.

    Raises:
        IncompatibleError: the grids differ.
        OutputError: the file cannot be written.
    """
    grid = spectra[0].wavenumbers
    names, units, columns = ["wavenumber"], ["cm^-1"], [grid]
    for spectrum in spectra:
        if not np.array_equal(spectrum.wavenumbers, grid):
            raise IncompatibleError(
                f"{spectrum.name} and {spectra[0].name} are on different wavenumbers; "
                "write them to different files."
            )
        names.append(spectrum.name)
        units.append(spectrum.unit)
        columns.append(spectrum.intensity)
        if spectrum.error is not None:
            names.append(f"{spectrum.name} {_ERROR}")
            units.append(spectrum.unit)
            columns.append(spectrum.error)
    lines = [f"# {remark}" for remark in remarks]
    lines += [",".join(names), ",".join(units)]
    lines += [",".join(f"{x:.10g}" for x in row) for row in np.stack(columns, axis=1)]
    replace_file(Path(path), ("\n".join(lines) + "\n").encode())


def _parse(content: bytes) -> _Table:
    text = content.decode("utf-8-sig", errors="replace")
    if "\0" in text:
        raise FormatError("this is no text. Give CSV, JCAMP-DX (.jdx) or a result.")
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    last = lines[-_LOOKED_AT:]
    separator = next(
        (s for s in _SEPARATORS if 2 * sum(s in line for line in last) > len(last)),
        None,
    )
    decimal = "," if separator in (";", "\t") else "."
    rows = [
        [cell.strip().strip("\"'") for cell in line.split(separator)] for line in lines
    ]
    begin = next((i for i, row in enumerate(rows) if _is_numeric(row, decimal)), None)
    if begin is None or len(rows) - begin < 3:
        raise FormatError(
            "a table needs three or more rows of numbers, but has "
            f"{0 if begin is None else len(rows) - begin}."
        )
    head, body = rows[:begin], rows[begin:]
    width = len(body[0])
    if width < 2:
        raise FormatError("a spectrum needs two columns or more, but there is one.")
    columns = np.empty((len(body), width))
    for index, row in enumerate(body):
        if len(row) != width:
            raise FormatError(
                f"row {index + 1} of the numbers has {len(row)} columns, but the first "
                f"one has {width}. The file is damaged, or cut at its end."
            )
        columns[index] = [_number(cell, decimal, index) for cell in row]
    names, units = _head(head, width)
    return _Table(names, units, columns, _resolution(text))


def _resolution(text: str) -> float:
    """The resolution in a remark, such as `# resolution 4 cm^-1`; 0 without."""
    remarks = "\n".join(line.partition("#")[2] for line in text.splitlines())
    found = _RESOLUTION.search(remarks)
    return float(found[1]) if found else 0.0


def _head(head: list[list[str]], width: int) -> tuple[list[str], list[str]]:
    """Names and units of the columns, as far as the rows before the numbers say."""
    rows = [row for row in head if len(row) == width]
    names = rows[0] if rows else [""] * width
    units = rows[1] if len(rows) > 1 else [""] * width
    found_names, found_units = [], []
    for name, unit in zip(names, units, strict=True):
        for opening, closing in ("[]", "()"):
            if not unit and name.endswith(closing) and opening in name:
                name, _, rest = name.rpartition(opening)
                unit = rest[:-1]
        if not unit and " / " in name:
            name, _, unit = name.partition(" / ")
        found_names.append(name.strip())
        found_units.append(unit.strip().strip("[]()"))
    return found_names, found_units


def _spectrum(table: _Table, column: str | None, title: str) -> Spectrum:
    abscissa = next(
        (
            i
            for i, name in enumerate(table.names)
            if name.lower() in _ABSCISSA or name.lower().startswith("wavenumber")
        ),
        0,
    )
    _check_unit(table.names[abscissa], table.units[abscissa])
    index = _find(table, column, abscissa)
    name = table.names[index]
    wanted = {f"{name} {_ERROR}".lower(), f"{name}_{_ERROR}".lower()}
    if len(table.names) == 3:
        wanted.add(_ERROR)
    errors = [i for i, n in enumerate(table.names) if n.lower() in wanted]
    grid = table.columns[:, abscissa]
    if not np.isfinite(grid).all():
        raise FormatError("a wavenumber is missing or not finite.")
    order = np.argsort(grid, kind="stable")
    if not (np.diff(grid[order]) > 0).all():
        twice = grid[order][:-1][np.diff(grid[order]) <= 0][0]
        raise FormatError(
            f"the wavenumber {twice:g} stands there twice. Keep one row of each."
        )
    values = table.columns[order, index]
    if np.isinf(values).any():
        raise FormatError(f"the column '{name or index + 1}' holds infinity.")
    error = table.columns[order, errors[0]] if errors else None
    unit = table.units[index] or "unknown"
    return Spectrum(grid[order], values, unit, name or title, error, table.resolution)


def _check_unit(name: str, unit: str) -> None:
    plain = unit.lower().replace(" ", "")
    if plain in _WAVENUMBER_UNITS and name.lower() not in _OTHER_UNITS:
        return
    raise UnitError(
        f"the wavenumbers must be in cm^-1, but the column '{name}' is in "
        f"'{unit or name}'. Convert it first."
    )


def _find(table: _Table, column: str | None, abscissa: int) -> int:
    names = table.names
    if column is None:
        for index, name in enumerate(names):
            if index != abscissa and not name.lower().endswith(_ERROR):
                return index
    elif column in names:
        return names.index(column)
    elif column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    known = ", ".join(name or str(i + 1) for i, name in enumerate(names))
    raise FormatError(f"there is no column '{column}'; there are: {known}.")


def _is_numeric(row: list[str], decimal: str) -> bool:
    try:
        float(row[0].replace(decimal, "."))
        [
            float(cell.replace(decimal, "."))
            for cell in row[1:]
            if cell.lower() not in _MASKED
        ]
    except ValueError:
        return False
    return len(row) > 1


def _number(cell: str, decimal: str, index: int) -> float:
    if cell.lower() in _MASKED:
        return math.nan
    try:
        return float(cell.replace(decimal, "."))
    except ValueError:
        raise FormatError(
            f"row {index + 1} of the numbers holds '{cell}', which is no number."
        ) from None
