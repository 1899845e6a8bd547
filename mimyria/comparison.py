"""Comparison: how far two spectra are from each other, and how far noise alone is.

Pure functions from two `Spectrum` to numbers; no file and no plot. Both spectra are
first brought to one grid over the range that they share, so that a score never compares
rows that merely have the same place in two files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mimyria.commongrid import on_common_grid, range_text, spacing_of
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.frame import Array
from mimyria.spectra import Spectrum

__all__ = [
    "Comparison",
    "ScoreErrors",
    "area",
    "bray_curtis",
    "chi_square",
    "compare",
    "cosine",
    "first_moment",
    "integral",
    "noise_floor",
    "normalised",
    "on_common_grid",
    "wasserstein",
]

_CORRELATION_WIDTH: Final = math.sqrt(2 * math.pi / (4 * math.log(2)))
"""∫ρ dν over the resolution, ρ the correlation of two points; Gaussian lag window."""

_SAME_RESOLUTION: Final = 1.2
_SAME_DATA: Final = 1e-6
"""Of the highest point. No two runs agree so well; a table of one run does."""


@dataclass(frozen=True, slots=True)
class ScoreErrors:
    """Standard errors of scores, in their units; NaN where unknown.

    Attributes:
        bray_curtis: of `Comparison.bray_curtis`.
        cosine: of `Comparison.cosine`.
        first_moments: of each centre of gravity, cm⁻¹; 0 where it counts as exact.
        wasserstein: of `Comparison.wasserstein`, cm⁻¹.
        chi_square: of `Comparison.chi_square`.
        n_blocks: blocks of each spectrum; one without any counts as exact.
    """

    bray_curtis: float
    cosine: float
    first_moments: tuple[float, float]
    wasserstein: float
    chi_square: float
    n_blocks: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All scores of two spectra.

    Attributes:
        low: lower end of the common range, cm⁻¹.
        high: upper end, cm⁻¹.
        normalisation: `none` or `area`.
        bray_curtis: 0 for equal spectra, 1 for spectra without overlap.
        floor: what `bray_curtis` is on average for noise alone; NaN without errors.
        cosine: 1 for the same shape.
        first_moments: centre of gravity of each, cm⁻¹.
        shift: second centre minus the first, cm⁻¹.
        shift_error: its standard error, cm⁻¹; NaN without errors.
        wasserstein: mean distance intensity has to move, cm⁻¹.
        chi_square: per degree of freedom; NaN without errors.
        n_independent: about how many independent points are in the range.
        areas: area of each before any normalisation.
        notices: what a reader of these numbers should know.
        errors: of the scores, from the blocks of the runs; None without blocks.
        same_data: both are the same curve. The errors of scores, which are for
            independent spectra, are NaN or None then.
    """

    low: float
    high: float
    normalisation: str
    bray_curtis: float
    floor: float
    cosine: float
    first_moments: tuple[float, float]
    shift: float
    shift_error: float
    wasserstein: float
    chi_square: float
    n_independent: float
    areas: tuple[float, float]
    notices: tuple[str, ...] = ()
    errors: ScoreErrors | None = None
    same_data: bool = False


def compare(
    first: Spectrum,
    second: Spectrum,
    *,
    low: float | None = None,
    high: float | None = None,
    normalisation: str = "auto",
) -> Comparison:
    """All scores of two spectra on their common range.

    Args:
        first: one spectrum.
        second: the other.
        low: begin of the range, cm⁻¹; None: where both have begun.
        high: end of the range, cm⁻¹; None: where one of them ends.
        normalisation: `none`, `area`, or `auto`: by area where the units differ.

    Raises:
        IncompatibleError: the spectra share no range, or the area of one to be
            normalised is not above zero.
        SettingsError: there is no such normalisation.
    """
    if normalisation not in ("auto", "none", "area"):
        raise SettingsError(
            f"the normalisation must be auto, none or area, but is '{normalisation}'."
        )
    notices = _notices(first, second, normalisation)
    if normalisation == "auto":
        normalisation = "none" if first.unit == second.unit else "area"
    one, two = on_common_grid(first, second, low=low, high=high)
    areas = area(one), area(two)
    if normalisation == "area":
        one, two = normalised(one), normalised(two)
    centres = first_moment(one), first_moment(two)
    same = _are_same(one.intensity, two.intensity)
    return Comparison(
        float(one.wavenumbers[0]),
        float(one.wavenumbers[-1]),
        normalisation,
        bray_curtis(one, two),
        noise_floor(one, two),
        cosine(one, two),
        (centres[0][0], centres[1][0]),
        centres[1][0] - centres[0][0],
        math.nan if same else _joined(centres[0][1], centres[1][1]),
        wasserstein(one, two),
        chi_square(one, two),
        _independent_points(one, two),
        areas,
        tuple(notices),
        same_data=same,
    )


def bray_curtis(first: Spectrum, second: Spectrum) -> float:
    """Dissimilarity Σ w |A − B| / Σ w |A + B| with trapezoid weights w.

    Source: docs/theory.md, eq. (50).
    """
    weights = _weights(first.wavenumbers)
    difference = weights @ np.abs(first.intensity - second.intensity)
    total = weights @ np.abs(first.intensity + second.intensity)
    return float(difference / total) if total > 0 else math.nan


def noise_floor(first: Spectrum, second: Spectrum) -> float:
    """Mean Bray–Curtis score of two spectra that differ by their noise only.

    r/√π for two independent runs of the same relative error r. A spectrum without
    errors (an experiment) counts as exact; NaN if neither has any.

    Source: docs/theory.md, eq. (51).
    """
    error = _common_error(first, second)
    if error is None:
        return math.nan
    weights = _weights(first.wavenumbers)
    total = float(weights @ np.abs(first.intensity + second.intensity))
    return math.sqrt(2 / math.pi) * float(weights @ error) / total


def cosine(first: Spectrum, second: Spectrum) -> float:
    """Cosine of the angle between the spectra as vectors; the scale has no part in it.

    Source: docs/theory.md, eq. (52).
    """
    weights = _weights(first.wavenumbers)
    product = weights @ (first.intensity * second.intensity)
    squares = (weights @ first.intensity**2) * (weights @ second.intensity**2)
    return float(product / math.sqrt(squares)) if squares > 0 else math.nan


def first_moment(spectrum: Spectrum) -> tuple[float, float]:
    """Centre of gravity in cm⁻¹, and its standard error (NaN where unknown).

    Source: docs/theory.md, eq. (53).
    """
    grid, total = spectrum.wavenumbers, area(spectrum)
    if not total > 0:
        return math.nan, math.nan
    weights = _weights(grid)
    centre = float(weights @ (grid * spectrum.intensity)) / total
    if spectrum.error is None:
        return centre, math.nan
    scatter = float(weights @ ((grid - centre) * spectrum.error) ** 2)
    width = _CORRELATION_WIDTH * spectrum.resolution
    return centre, math.sqrt(width * scatter) / total


def wasserstein(first: Spectrum, second: Spectrum) -> float:
    """Mean distance in cm⁻¹ that intensity has to move to make one out of the other.

    ∫ |F_A(ν) − F_B(ν)| dν with the cumulated, area-normalised intensities F. What is
    below zero (noise) counts as zero.

    Source: docs/theory.md, eq. (54).
    """
    grid = first.wavenumbers
    one, two = _cumulated(grid, first.intensity), _cumulated(grid, second.intensity)
    return float(_weights(grid) @ np.abs(one - two))


def chi_square(first: Spectrum, second: Spectrum) -> float:
    """Mean of (A − B)² / (σ_A² + σ_B²): 1 where noise alone makes the difference.

    Source: docs/theory.md, eq. (55).
    """
    error = _common_error(first, second)
    if error is None:
        return math.nan
    known = np.isfinite(error) & (error > 0)
    if not known.any():
        return math.nan
    deviations = (first.intensity - second.intensity)[known] / error[known]
    return float(np.mean(deviations**2))


def area(spectrum: Spectrum) -> float:
    """∫ S dν by the trapezoid rule."""
    return float(_weights(spectrum.wavenumbers) @ spectrum.intensity)


def integral(spectrum: Spectrum) -> tuple[float, float]:
    """∫ S dν, and its standard error (NaN where unknown).

    Points within one resolution are correlated, which the error takes into account as
    that of the first moment does.
    """
    if spectrum.error is None:
        return area(spectrum), math.nan
    scatter = float(_weights(spectrum.wavenumbers) @ spectrum.error**2)
    width = _CORRELATION_WIDTH * spectrum.resolution
    return area(spectrum), math.sqrt(width * scatter)


def normalised(spectrum: Spectrum) -> Spectrum:
    """The spectrum with an area of 1.

    Raises:
        IncompatibleError: the area is not above zero.
    """
    total = area(spectrum)
    if not total > 0:
        raise IncompatibleError(
            f"{spectrum.name} has the area {total:g} from {range_text(spectrum)}, so "
            "it cannot be normalised. Choose another range, or no normalisation."
        )
    return replace(
        spectrum,
        intensity=spectrum.intensity / total,
        error=None if spectrum.error is None else spectrum.error / total,
        unit=f"{spectrum.unit} / area",
    )


def _notices(first: Spectrum, second: Spectrum, normalisation: str) -> list[str]:
    notices = []
    if first.unit != second.unit:
        how = (
            "they are compared by shape, each with an area of 1"
            if normalisation != "none"
            else "the numbers are compared as they are"
        )
        notices.append(f"the units differ ({first.unit}; {second.unit}): {how}")
    widths = sorted((first.resolution, second.resolution))
    if widths[0] > 0 and widths[1] > _SAME_RESOLUTION * widths[0]:
        notices.append(
            f"the resolutions differ ({first.resolution:.3g} and "
            f"{second.resolution:.3g} cm⁻¹): sharp bands count as different"
        )
    return notices


def _weights(grid: Array) -> Array:
    """Trapezoid weights: half of the distance between the two neighbours."""
    weights: Array = np.gradient(grid)
    weights[[0, -1]] /= 2
    return weights


def _cumulated(grid: Array, intensity: Array) -> Array:
    positive = np.maximum(intensity, 0.0)
    steps = 0.5 * (positive[1:] + positive[:-1]) * np.diff(grid)
    total = steps.sum()
    if not total > 0:
        return np.full(len(grid), np.nan)
    cumulated: Array = np.concatenate(([0.0], np.cumsum(steps))) / total
    return cumulated


def _common_error(first: Spectrum, second: Spectrum) -> Array | None:
    errors = [each.error for each in (first, second) if each.error is not None]
    if not errors:
        return None
    squares: Array = np.sqrt(sum((error**2 for error in errors), np.zeros(1)))
    return squares


def _are_same(first: Array, second: Array) -> bool:
    """Whether two curves are equal but for the digits of a table."""
    scale = float(np.abs(first).max(initial=0.0))
    return bool(np.allclose(first, second, rtol=0.0, atol=_SAME_DATA * scale))


def _joined(first: float, second: float) -> float:
    known = [error for error in (first, second) if not math.isnan(error)]
    return math.hypot(*known) if known else math.nan


def _independent_points(first: Spectrum, second: Spectrum) -> float:
    reach = float(first.wavenumbers[-1] - first.wavenumbers[0])
    return reach / max(first.resolution, second.resolution, spacing_of(first))
