"""JCAMP-DX: spectra as spectrometers and data bases exchange them.

Read are single data blocks of version 4.24 and 5.01: XYDATA in every form of ordinates
(AFFN, PAC, SQZ, DIF, DUP), XYPOINTS and PEAK TABLE pairs. All the checks that a file
brings with it are made: number of points, first and last abscissa, the abscissa of each
line, and the ordinate that a DIF line repeats. Written is version 4.24, AFFN.

Source: R. S. McDonald, P. A. Wilks, Appl. Spectrosc. 42, 151 (1988), for the forms;
P. Lampen et al., Appl. Spectrosc. 53 (1999), for version 5.01.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FormatError, UnitError
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.io.asdf import decode_line, is_compressed
from mimyria.spectra import Spectrum

__all__ = ["read_jcamp", "write_jcamp"]

_LARGEST: Final = 2**31 - 1
_LINE: Final = 80
_PER_LINE: Final = 6
_ERRORS: Final = "$STANDARD ERRORS"
_X_TOLERANCE: Final = 1.01  # of one step: line abscissae are often rounded
_PAIRS: Final = ("XYPOINTS", "PEAKTABLE")
_TABLES: Final = ("XYDATA", *_PAIRS)


def read_jcamp(path: str | Path) -> Spectrum:
    """The spectrum of a JCAMP-DX file, with rising wavenumbers.

    Raises:
        FormatError: it is no JCAMP-DX, of a kind that is not read (several blocks,
            NTUPLES, transmittance), or contradicts itself.
        UnitError: the abscissa is not in 1/cm.
    """
    path = Path(path)
    try:
        labels = _labels(path.read_bytes().decode("latin-1"))
        return _spectrum(labels, path.stem)
    except UnitError as error:
        raise UnitError(f"{path}: {error}") from error
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def write_jcamp(path: str | Path, spectrum: Spectrum, *, origin: str) -> None:
    """Write one spectrum; ordinates are integers of 31 bits times a factor.

    Masked points (NaN) stand as `?`, as the format has it. Standard errors stand under
    a label of our own, `##$STANDARD ERRORS=`, one for each point in YUNITS: other
    programs pass over labels with a dollar sign.

    Args:
        path: the file; an existing one is replaced.
        spectrum: on an equidistant grid.
        origin: program and run that it comes from, for the label ORIGIN.

    Raises:
        FormatError: the grid is not equidistant, or nothing is finite.
        OutputError: the file cannot be written.
    """
    grid, values = spectrum.wavenumbers, spectrum.intensity
    step = (grid[-1] - grid[0]) / (len(grid) - 1)
    if not np.allclose(np.diff(grid), step, rtol=1e-6):
        raise FormatError(f"{spectrum.name} is not on equidistant wavenumbers.")
    finite = np.isfinite(values)
    if not finite.any():
        raise FormatError(f"{spectrum.name} holds no finite number to write.")
    factor = float(np.abs(values[finite]).max()) / _LARGEST or 1.0
    raman = spectrum.name.startswith("raman")
    head = {
        "TITLE": spectrum.name,
        "JCAMP-DX": "4.24",
        "DATA TYPE": "RAMAN SPECTRUM" if raman else "INFRARED SPECTRUM",
        "ORIGIN": origin,
        "OWNER": "see ORIGIN",
        "XUNITS": "1/CM",
        "YUNITS": spectrum.unit,
        "RESOLUTION": f"{spectrum.resolution:.10g}",
        "FIRSTX": f"{grid[0]:.15g}",
        "LASTX": f"{grid[-1]:.15g}",
        "DELTAX": f"{step:.15g}",
        "MAXX": f"{grid[-1]:.15g}",
        "MINX": f"{grid[0]:.15g}",
        "MAXY": f"{values[finite].max():.12g}",
        "MINY": f"{values[finite].min():.12g}",
        "XFACTOR": "1",
        "YFACTOR": f"{factor:.17g}",
        "NPOINTS": str(len(grid)),
        "FIRSTY": f"{values[0]:.12g}" if finite[0] else "?",
    }
    lines = [f"##{label}={_ascii(value)}" for label, value in head.items()]
    if spectrum.error is not None:
        lines += [f"##{_ERRORS}=", *_error_rows(spectrum.error)]
    lines.append("##XYDATA=(X++(Y..Y))")
    lines += _rows(grid, values, factor)
    lines.append("##END=")
    replace_file(Path(path), ("\r\n".join(lines) + "\r\n").encode("ascii"))


def _rows(grid: Array, values: Array, factor: float) -> list[str]:
    numbers = [f"{round(y / factor):d}" if math.isfinite(y) else "?" for y in values]
    lines = []
    for begin in range(0, len(grid), _PER_LINE):
        line = " ".join([f"{grid[begin]:.8g}", *numbers[begin : begin + _PER_LINE]])
        assert len(line) <= _LINE
        lines.append(line)
    return lines


def _error_rows(errors: Array) -> list[str]:
    numbers = [f"{error:.4g}" if math.isfinite(error) else "?" for error in errors]
    return [
        " ".join(numbers[begin : begin + _PER_LINE])
        for begin in range(0, len(numbers), _PER_LINE)
    ]


def _read_errors(labels: dict[str, str], n_points: int) -> Array | None:
    """Our own label; that of another program may hold what it likes and is left."""
    words = labels.get("$STANDARDERRORS", "").split()
    if len(words) != n_points:
        return None
    try:
        return np.array([math.nan if word == "?" else float(word) for word in words])
    except ValueError:
        return None


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii").replace("\n", " ")


def _labels(text: str) -> dict[str, str]:
    """Labelled data records of one block, the names without blanks and signs."""
    labels: dict[str, str] = {}
    name = ""
    for raw in text.splitlines():
        line = raw.split("$$", 1)[0].rstrip()
        if line.lstrip().startswith("##"):
            label, _, value = line.lstrip()[2:].partition("=")
            name = "".join(c for c in label.upper() if c not in " -/_")
            if name in labels and name in ("TITLE", *_TABLES):
                raise FormatError(
                    f"##{label} stands there twice: files of several blocks are not "
                    "read. Save the block you want as a file of its own."
                )
            if name == "END":
                break
            labels[name] = value.strip()
        elif name:
            labels[name] += "\n" + line
    if "JCAMPDX" not in labels and "JCAMP" not in labels:
        raise FormatError("this is no JCAMP-DX file: the label ##JCAMP-DX= is missing.")
    return labels


def _spectrum(labels: dict[str, str], name: str) -> Spectrum:
    _check_kind(labels)
    unit = labels.get("YUNITS", "").split("\n")[0].strip() or "unknown"
    if "XYDATA" in labels:
        grid, values = _equidistant(labels)
    else:
        grid, values = _pairs(labels)
    order = np.argsort(grid, kind="stable")
    error = _read_errors(labels, len(grid))
    grid, values = grid[order], values[order]
    if len(grid) < 3 or not (np.diff(grid) > 0).all():
        raise FormatError(
            "a spectrum needs three or more points at different wavenumbers, but has "
            f"{len(np.unique(grid))}."
        )
    resolution = _number(labels, "RESOLUTION", 0.0, strict=False)
    error = None if error is None else error[order]
    return Spectrum(grid, values, unit, name, error, resolution)


def _check_kind(labels: dict[str, str]) -> None:
    found = [label for label in _TABLES if label in labels]
    if "NTUPLES" in labels or not found:
        raise FormatError(
            "the file must hold XYDATA, XYPOINTS or PEAK TABLE of one spectrum "
            "(NTUPLES and LINK blocks are not read). Save the spectrum alone."
        )
    unit = labels.get("XUNITS", "").split("\n")[0].strip()
    if unit.upper().replace(" ", "") not in ("1/CM", "CM-1", "CM^-1"):
        raise UnitError(
            f"XUNITS must be 1/CM, but is '{unit}'. Convert the file first: a step in "
            "another unit is no step in wavenumber."
        )
    if "TRANSMITTANCE" in labels.get("YUNITS", "").upper():
        raise FormatError(
            "the ordinate is a transmittance. Convert it to absorbance (-log10 T) "
            "first; only absorbances can be compared with an absorption coefficient."
        )


def _equidistant(labels: dict[str, str]) -> tuple[Array, Array]:
    form, _, body = labels["XYDATA"].partition("\n")
    if form.replace(" ", "").upper() not in ("(X++(Y..Y))", "(X++(Y..Y)),XYDATA"):
        raise FormatError(f"XYDATA must be (X++(Y..Y)), but is '{form}'.")
    first, last = _number(labels, "FIRSTX"), _number(labels, "LASTX")
    n_points = round(_number(labels, "NPOINTS"))
    if n_points < 3 or not math.isfinite(first) or first == last:
        raise FormatError(
            f"NPOINTS must be 3 or more and FIRSTX another than LASTX, but they are "
            f"{n_points}, {first:g} and {last:g}."
        )
    step = (last - first) / (n_points - 1)
    values: list[float] = []
    x_factor = _number(labels, "XFACTOR", 1.0)
    repeated: float | None = None
    compressed = is_compressed(body)
    for line in filter(None, map(str.strip, body.split("\n"))):
        x, row, differences = decode_line(line, compressed=compressed)
        again = repeated is not None
        _check_abscissa(x * x_factor, first + step * (len(values) - again), step)
        if again:
            _check_repeated(row, repeated, line)
            row = row[1:]
        values += row
        repeated = values[-1] if differences and values else None
    if len(values) != n_points:
        raise FormatError(
            f"NPOINTS is {n_points}, but there are {len(values)} ordinates. The file "
            "is cut or damaged."
        )
    ordinates = _number(labels, "YFACTOR", 1.0) * np.array(values, np.float64)
    _check_first(labels, ordinates)
    grid: Array = first + step * np.arange(n_points, dtype=np.float64)
    return grid, ordinates


def _check_abscissa(found: float, expected: float, step: float) -> None:
    if not abs(found - expected) <= _X_TOLERANCE * abs(step):
        raise FormatError(
            f"a line begins at {found:g} cm⁻¹ where FIRSTX, LASTX and NPOINTS give "
            f"{expected:g}. Points are missing or the header is wrong."
        )


def _check_repeated(row: list[float], expected: float | None, line: str) -> None:
    """A line that ends in differences is followed by its last value once more."""
    if not row or row[0] != expected:
        raise FormatError(
            f"the line '{line[:30]}' must begin with the last ordinate of the line "
            f"before, {expected}, but begins with {row[0] if row else 'none'}. The "
            "file is damaged."
        )


def _check_first(labels: dict[str, str], values: Array) -> None:
    text = labels.get("FIRSTY", "").strip()
    if not text or "?" in text or not math.isfinite(values[0]):
        return
    expected = _number(labels, "FIRSTY")
    scale = max(abs(expected), float(np.nanmax(np.abs(values))) * 1e-3)
    if abs(values[0] - expected) > 1e-2 * scale:
        raise FormatError(
            f"FIRSTY is {expected:g}, but the first ordinate times YFACTOR is "
            f"{values[0]:g}. Is YFACTOR right?"
        )


def _pairs(labels: dict[str, str]) -> tuple[Array, Array]:
    label = next(label for label in _PAIRS if label in labels)
    form, _, body = labels[label].partition("\n")
    if not form.replace(" ", "").upper().startswith("(XY..XY)"):
        raise FormatError(f"{label} must be (XY..XY), but is '{form}'.")
    words = body.replace(",", " ").replace(";", " ").split()
    try:
        numbers = np.array([math.nan if w == "?" else float(w) for w in words])
    except ValueError as error:
        raise FormatError(f"{label} holds something else than numbers: {error}.") from (
            error
        )
    if len(numbers) % 2:
        raise FormatError(f"{label} holds an odd number of numbers, so no pairs.")
    expected = _number(labels, "NPOINTS", len(numbers) / 2)
    if len(numbers) != 2 * expected:
        raise FormatError(
            f"NPOINTS is {expected:g}, but there are {len(numbers) // 2} pairs. The "
            "file is cut or damaged."
        )
    x = numbers[::2] * _number(labels, "XFACTOR", 1.0)
    y = numbers[1::2] * _number(labels, "YFACTOR", 1.0)
    if not np.isfinite(x).all():
        raise FormatError(f"{label} holds an abscissa that is no number.")
    return x, y


def _number(
    labels: dict[str, str],
    label: str,
    default: float | None = None,
    *,
    strict: bool = True,
) -> float:
    text = labels.get(label, "").split("\n")[0].strip()
    if not text and default is not None:
        return default
    try:
        number = float(text)
    except ValueError:
        if not strict and default is not None:
            return default
        raise FormatError(f"##{label}= must be a number, but is '{text}'.") from None
    if not math.isfinite(number):
        raise FormatError(f"##{label}= must be finite, but is '{text}'.")
    return number
