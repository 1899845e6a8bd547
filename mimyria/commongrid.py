"""Common grid: two spectra on the same wavenumbers, where both have values."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator

from mimyria.errors import IncompatibleError
from mimyria.frame import Array
from mimyria.spectra import Spectrum

__all__ = ["interpolated", "on_common_grid", "range_text", "spacing_of"]

_LEAST_POINTS: Final = 3


def on_common_grid(
    first: Spectrum,
    second: Spectrum,
    *,
    low: float | None = None,
    high: float | None = None,
) -> tuple[Spectrum, Spectrum]:
    """Both spectra on the finer of the two grids, where both have values.

    Local cubics (Akima) go through the points: they neither cut the tops of bands, as
    straight lines do, nor ring at steps, as splines do. Errors are interpolated
    linearly. Points beside masked ones (NaN) are left out of both.

    Raises:
        IncompatibleError: there is no common range.
    """
    begin = max(first.wavenumbers[0], second.wavenumbers[0])
    end = min(first.wavenumbers[-1], second.wavenumbers[-1])
    begin = begin if low is None else max(begin, low)
    end = end if high is None else min(end, high)
    spacing = min(spacing_of(first), spacing_of(second))
    if not end - begin >= (_LEAST_POINTS - 1) * spacing:
        raise IncompatibleError(
            f"the spectra must share a range: one covers {range_text(first)} and the "
            f"other {range_text(second)}, and {_limits_text(low, high)} is asked for. "
            "Are both in cm⁻¹?"
        )
    grid: Array = np.linspace(begin, end, round((end - begin) / spacing) + 1)
    one, two = interpolated(first, grid), interpolated(second, grid)
    known = np.isfinite(one.intensity) & np.isfinite(two.intensity)
    if known.sum() < _LEAST_POINTS:
        raise IncompatibleError(
            f"the two have no {_LEAST_POINTS} points in common that are not masked. "
            "Compare another range, or a longer run."
        )
    return _only(one, known), _only(two, known)


def interpolated(spectrum: Spectrum, grid: Array) -> Spectrum:
    """The spectrum on another grid within its range; NaN beside masked points."""
    x, y = spectrum.wavenumbers, spectrum.intensity
    known = np.isfinite(y)
    values = np.full(len(grid), np.nan)
    if known.sum() >= _LEAST_POINTS:
        values = Akima1DInterpolator(x[known], y[known])(grid)
        values[np.interp(grid, x, known.astype(float)) < 1.0 - 1e-9] = np.nan
    error = spectrum.error
    if error is not None:
        error = np.interp(grid, x, error)
    return replace(spectrum, wavenumbers=grid, intensity=values, error=error)


def _only(spectrum: Spectrum, chosen: NDArray[np.bool_]) -> Spectrum:
    return replace(
        spectrum,
        wavenumbers=spectrum.wavenumbers[chosen],
        intensity=spectrum.intensity[chosen],
        error=None if spectrum.error is None else spectrum.error[chosen],
    )


def spacing_of(spectrum: Spectrum) -> float:
    """Usual distance of two points, cm⁻¹."""
    return float(np.median(np.diff(spectrum.wavenumbers)))


def range_text(spectrum: Spectrum) -> str:
    """The range that a spectrum covers, for people."""
    return f"{spectrum.wavenumbers[0]:g} to {spectrum.wavenumbers[-1]:g} cm⁻¹"


def _limits_text(low: float | None, high: float | None) -> str:
    return f"{'the begin' if low is None else f'{low:g}'} to " + (
        "the end" if high is None else f"{high:g}"
    )
