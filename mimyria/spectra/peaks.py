"""Band positions: the top of a band between grid points, and its centre of gravity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra.spectrum import Spectrum

__all__ = ["WATER_BANDS", "Band", "find_band", "find_bands"]

WATER_BANDS: Final = {
    "libration": (300.0, 1100.0),
    "bend": (1450.0, 1900.0),
    "OH stretch": (2900.0, 4200.0),
}
"""Ranges in cm⁻¹ that hold one band of flexible water each, for any common model."""

_PROMINENCE: Final = 0.005  # of the highest point; three errors matter more
_ERRORS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Band:
    """One band.

    Attributes:
        position: top of the band, cm⁻¹.
        centroid: centre of gravity of the intensity in the range, cm⁻¹.
        height: intensity at the top, in the unit of the spectrum.
        low: lower end of the range, cm⁻¹.
        high: upper end of the range, cm⁻¹.
    """

    position: float
    centroid: float
    height: float
    low: float
    high: float


def find_band(spectrum: Spectrum, low: float, high: float) -> Band:
    """The highest point between `low` and `high` cm⁻¹, and the centroid there.

    The top is that of a parabola through the highest grid point and its neighbours;
    docs/theory.md, eq. (80).

    Raises:
        SettingsError: the range holds no positive intensity.
    """
    part = spectrum.between(low, high)
    intensity = np.nan_to_num(part.intensity)
    weights = np.maximum(intensity, 0.0)
    if not weights.sum() > 0:
        raise SettingsError(
            f"{spectrum.name} has no band from {low:g} to {high:g} cm⁻¹: the "
            "intensity there is nowhere above zero."
        )
    top = int(np.argmax(intensity))
    position, height = _parabola(part.wavenumbers, intensity, top)
    centroid = float((weights * part.wavenumbers).sum() / weights.sum())
    return Band(position, centroid, height, low, high)


def find_bands(spectrum: Spectrum, *, prominence: float = _PROMINENCE) -> list[Band]:
    """All bands that stand out from their surroundings and from the noise.

    A band counts if it rises above the higher of its two valleys by `prominence` of the
    highest point and by three standard errors; its range ends halfway down.

    Args:
        spectrum: any spectrum.
        prominence: smallest rise, as a part of the highest point.
    """
    intensity = np.nan_to_num(spectrum.intensity)
    smallest = np.full(len(intensity), prominence * float(intensity.max()))
    if spectrum.error is not None:
        smallest = np.maximum(
            smallest, _ERRORS * np.nan_to_num(spectrum.error, posinf=np.inf)
        )
    bands = []
    for top in _maxima(intensity):
        rise = _prominence(intensity, top)
        if rise >= smallest[top] and intensity[top] > 0:
            bands.append(_band(spectrum.wavenumbers, intensity, top, rise))
    return bands


def _maxima(values: Array) -> list[int]:
    """Points higher than the one before and not lower than the one after."""
    inner = values[1:-1]
    tops = (inner > values[:-2]) & (inner >= values[2:])
    return [int(index) + 1 for index in np.flatnonzero(tops)]


def _prominence(values: Array, top: int) -> float:
    """Height over the higher valley on the way to anything higher, or to the end."""
    higher = np.flatnonzero(values > values[top])
    left = int(higher[higher < top].max(initial=-1)) + 1
    right = int(higher[higher > top].min(initial=len(values)))
    valley = max(values[left : top + 1].min(), values[top:right].min())
    return float(values[top] - valley)


def _band(grid: Array, values: Array, top: int, rise: float) -> Band:
    """The band around a maximum, as far as it stays above half of its rise."""
    lower = np.flatnonzero(values < values[top] - 0.5 * rise)
    left = int(lower[lower < top].max(initial=-1)) + 1
    right = int(lower[lower > top].min(initial=len(values)))
    inside = slice(left, right)
    weights = np.maximum(values[inside], 0.0)
    centroid = float((weights * grid[inside]).sum() / weights.sum())
    position, height = _parabola(grid, values, top)
    return Band(position, centroid, height, float(grid[left]), float(grid[right - 1]))


def _parabola(grid: Array, values: Array, top: int) -> tuple[float, float]:
    """Vertex of the parabola through the points top − 1, top and top + 1."""
    if not 0 < top < len(values) - 1:
        return float(grid[top]), float(values[top])
    before, here, after = (float(value) for value in values[top - 1 : top + 2])
    curvature = before - 2 * here + after
    if curvature >= 0:
        return float(grid[top]), here
    shift = 0.5 * (before - after) / curvature
    position = float(grid[top] + shift * (grid[1] - grid[0]))
    return position, here - 0.25 * (before - after) * shift
