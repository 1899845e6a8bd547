"""Dots: curves, bars and histories made of characters. It knows no spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array
from mimyria_driver.screen.glyphs import BRAILLE

__all__ = ["area", "bar", "columns", "levels", "sparkline"]

ROWS: Final = 4
"""Dots of a character above each other; two beside each other."""

_LEFT: Final = np.array([0x00, 0x40, 0x44, 0x46, 0x47])
_RIGHT: Final = np.array([0x00, 0x80, 0xA0, 0xB0, 0xB8])
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_STEPS: Final = "▁▂▃▄▅▆▇█"


def columns(grid: Array, values: Array, limits: tuple[float, float], n: int) -> Array:
    """Values at the middles of `n` equal columns, or the highest value in each.

    A sharp line is not lost where columns are wider than the grid is fine.

    Args:
        grid: (m,) rising.
        values: (m,), finite.
        limits: ends of the first and of the last column.
        n: number of columns.

    Returns:
        (n,).
    """
    low, high = limits
    width = (high - low) / n
    found = np.interp(low + width * (np.arange(n) + 0.5), grid, values, right=0.0)
    index = np.floor((grid - low) / width).astype(int)
    inside = (index >= 0) & (index < n)
    highest = np.full(n, -np.inf)
    np.maximum.at(highest, index[inside], values[inside])
    return np.where(np.isfinite(highest), highest, found)


def levels(values: Array, top: float, height: int) -> NDArray[np.int64]:
    """How many dots high each value is; what is above zero is at least one dot high.

    Args:
        values: any shape.
        top: the value at the upper edge.
        height: characters.
    """
    if not top > 0:
        return np.zeros(values.shape, np.int64)
    dots = np.ceil(np.clip(values / top, 0.0, 1.0) * ROWS * height - 1e-9)
    return dots.astype(np.int64)


def area(heights: NDArray[np.int64], height: int) -> NDArray[np.str_]:
    """Characters of an area that is filled from below.

    Args:
        heights: (2 n,) dots.
        height: characters.

    Returns:
        (height, n) single characters, the upper row first; a space where nothing is.
    """
    rows = np.arange(height - 1, -1, -1)[:, None] * ROWS
    left = np.clip(heights[None, ::2] - rows, 0, ROWS)
    right = np.clip(heights[None, 1::2] - rows, 0, ROWS)
    codes = BRAILLE + (_LEFT[left] | _RIGHT[right])
    characters = np.vectorize(chr, otypes=["U1"])(codes)
    return np.where(codes == BRAILLE, " ", characters)


def bar(part: float, width: int) -> tuple[str, str]:
    """A bar of a part, and the rest of it: together `width` characters."""
    share = min(1.0, max(0.0, part)) if math.isfinite(part) else 0.0
    eighths = round(share * 8 * width)
    whole, rest = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return filled, "░" * (width - len(filled))


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as steps above zero, the latest at the right end."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if not top > 0:
        return _STEPS[0] * len(shown)
    return "".join(_STEPS[min(7, int(8 * max(0.0, value) / top))] for value in shown)
