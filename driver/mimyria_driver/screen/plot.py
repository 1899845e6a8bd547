"""Plot: one spectrum over a wavenumber axis, with its bands marked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from mimyria.frame import Array
from mimyria.spectra import Spectrum
from mimyria.spectra.peaks import Band
from mimyria_driver.screen.dots import area, columns, levels
from mimyria_driver.screen.findings import KINDS, RANGE

__all__ = ["COLOURS", "plot_lines", "title_of"]

COLOURS: Final = {"ir": "cyan", "raman_vv": "magenta"}

_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_GUTTER: Final = 8
_AXIS: Final = "bright_black"
_ERROR: Final = "bright_black"
_HEADROOM: Final = 1.02
_TICKS: Final = (100, 200, 250, 500, 1000)
_TICK_ROOM: Final = 8  # characters that a number of the axis needs
_MOST_ERROR: Final = 1.0
"""Errors are drawn up to so much of the highest point: above it they hide the curve."""


def title_of(spectrum: Spectrum, *, root: bool) -> str:
    """What is drawn, and in which unit."""
    quantity = {"ir": "α n", "raman_vv": "S of VV"}[spectrum.name]
    unit = re.sub(r"\^-?\d+", _raised, spectrum.unit)
    shown = f"√({quantity} / {unit})" if root else f"{quantity} / {unit}"
    return f"{KINDS[spectrum.name]} · {shown}"


def _raised(match: re.Match[str]) -> str:
    """An exponent as it is written."""
    return match[0][1:].translate(_SUPERSCRIPTS)


def plot_lines(
    spectrum: Spectrum,
    bands: Sequence[Band],
    width: int,
    height: int,
    *,
    root: bool = False,
    errors: bool = True,
    doubtful: bool = False,
) -> list[Text]:
    """The curve as a filled area, one standard error above it in grey, and the axis.

    Args:
        spectrum: what to draw.
        bands: those to mark.
        width: characters.
        height: lines; the lowest two are the axis.
        root: draw the square root.
        errors: draw the errors; without colours nobody could tell them from the curve.
        doubtful: mark the bands as what may be noise.
    """
    wide, high = width - _GUTTER - 1, height - 2
    if wide < 10 or high < 2:
        return [Text()] * height
    limits = (RANGE[0], min(RANGE[1], float(spectrum.wavenumbers[-1])))
    curve, error = _columns_of(spectrum, limits, 2 * wide, root=root)
    top = float(curve.max(initial=0.0))
    # The row above the highest point has room for its label.
    room = top * high / max(1, high - 1) * _HEADROOM
    inner = levels(curve, room, high)
    outer = levels(error, room, high) if errors else inner
    below, above = area(inner, high), area(outer, high)
    mark = "?" if doubtful else ""
    labels = _labels(bands, mark, limits, inner, high)
    lines = [
        _row(number, high, top, room, below[number], above[number], labels, spectrum)
        for number in range(high)
    ]
    return [*lines, *_axis(limits, wide)]


def _columns_of(
    spectrum: Spectrum, limits: tuple[float, float], n: int, *, root: bool
) -> tuple[Array, Array]:
    """Intensity in each column, and one standard error above it."""
    grid, values = spectrum.wavenumbers, np.nan_to_num(spectrum.intensity)
    curve = np.maximum(columns(grid, values, limits, n), 0.0)
    upper = curve
    if spectrum.error is not None:
        most = _MOST_ERROR * float(curve.max(initial=0.0))
        error = np.minimum(np.nan_to_num(spectrum.error, posinf=most), most)
        upper = curve + columns(grid, error, limits, n)
    return (np.sqrt(curve), np.sqrt(upper)) if root else (curve, upper)


def _labels(
    bands: Sequence[Band],
    mark: str,
    limits: tuple[float, float],
    inner: NDArray[np.int64],
    high: int,
) -> dict[tuple[int, int], str]:
    """Row and first column of the wavenumber over each band; the strongest first."""
    found: dict[tuple[int, int], str] = {}
    taken: set[tuple[int, int]] = set()
    wide = len(inner) // 2
    for band in sorted(bands, key=lambda band: -band.height):
        place = (band.position - limits[0]) / (limits[1] - limits[0]) * wide
        text = f"{band.position:.0f}{mark}"
        first = min(wide - len(text), max(0, round(place - len(text) / 2)))
        under = inner[2 * first : 2 * (first + len(text))]
        filled = -(-int(under.max(initial=0)) // 4)
        row = high - 1 - filled
        cells = {(row, first + k) for k in range(-1, len(text) + 1)}
        if row >= 0 and not cells & taken:
            taken |= cells
            found[row, first] = text
    return found


def _row(
    number: int,
    high: int,
    top: float,
    room: float,
    below: NDArray[np.str_],
    above: NDArray[np.str_],
    labels: dict[tuple[int, int], str],
    spectrum: Spectrum,
) -> Text:
    """One line of the picture, with its number at the left."""
    line = Text().append(_number_at(number, high, top, room).rjust(_GUTTER - 1), _AXIS)
    line.append(" │", _AXIS)
    colour = COLOURS[spectrum.name]
    cells = [
        (curve, colour) if curve != " " else (error, _ERROR)
        for curve, error in zip(below, above, strict=True)
    ]
    for (row, first), text in labels.items():
        if row == number:
            for k, letter in enumerate(text):
                cells[first + k] = (letter, "bold")
    for character, style in cells:
        line.append(str(character), style)
    return line


def _number_at(number: int, high: int, top: float, room: float) -> str:
    """The value at a line, on a few of them."""
    if number == high - 1:
        return "0"
    wanted = {1} if high < 9 else {1, (high + 1) // 2}
    value = room * (high - number - 0.5) / high
    if number not in wanted:
        return ""
    return f"{min(value, top):.3g}".replace("e+0", "e")


def _axis(limits: tuple[float, float], wide: int) -> list[Text]:
    """The line below the picture, and the wavenumbers below it."""
    span = limits[1] - limits[0]
    step = next(
        (each for each in _TICKS if wide * each / span >= _TICK_ROOM), _TICKS[-1]
    )
    marks, numbers = ["─"] * wide, [" "] * (wide + 4)
    for tick in np.arange(limits[0], limits[1] + 1e-6, step):
        place = min(wide - 1, round((tick - limits[0]) / span * wide))
        marks[place] = "┴"
        text = f"{tick:.0f}"
        first = max(0, place - len(text) // 2)
        if first + len(text) <= wide - 6:
            numbers[first : first + len(text)] = text
    numbers[wide - 5 : wide] = "cm⁻¹ "
    edge = " " * _GUTTER
    return [
        Text(f"{edge}└{''.join(marks)}", _AXIS),
        Text(f"{edge} {''.join(numbers[:wide])}", _AXIS),
    ]
