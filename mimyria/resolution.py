"""Resolution: two spectra at the coarser one of theirs, so that they can be compared.

A run is computed again from its correlations with a wider window; a curve without
correlations is broadened. What was done is said in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy import fft

from mimyria.commongrid import interpolated
from mimyria.errors import IncompatibleError
from mimyria.frame import Array
from mimyria.recomputed import Sampled, StoredRun
from mimyria.spectra import Spectrum

__all__ = ["Source", "at_one_resolution", "broadened"]

_SAME: Final = 1.01
_WIDTH: Final = math.sqrt(8 * math.log(2))  # full width at half maximum over σ
_REACH: Final = 4.0  # of the Gaussian, in σ
_POINTS: Final = 4.0  # least number of points in one σ
_MOST_POINTS: Final = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where a spectrum comes from.

    Attributes:
        label: for people, such as A.
        spectrum: the spectrum; resolution 0 means that it is not known.
        run: the run that it belongs to, or None: a table, a measurement.
    """

    label: str
    spectrum: Spectrum
    run: StoredRun | None = None


def at_one_resolution(
    first: Source, second: Source
) -> tuple[Sampled, Sampled, list[str]]:
    """Both spectra at the coarser resolution, and what was done.

    Where one is not known both stay as they are.
    """
    notices = [
        f"{each.label} does not say its resolution, so both are compared as they are; "
        "--resolution gives it one"
        for each in (first, second)
        if not each.spectrum.resolution > 0
    ]
    if notices:
        return _as_is(first), _as_is(second), notices
    widths = first.spectrum.resolution, second.spectrum.resolution
    coarser = max(widths)
    if coarser <= _SAME * min(widths):
        return _as_is(first), _as_is(second), []
    found = [
        (_as_is(each), "") if width == coarser else _coarser(each, coarser)
        for each, width in zip((first, second), widths, strict=True)
    ]
    return found[0][0], found[1][0], [text for _, text in found if text]


def broadened(spectrum: Spectrum, resolution: float) -> Spectrum:
    """The spectrum as an instrument of a coarser resolution would give it.

    S'(ν) = ∫ g(ν − ν') S(ν') dν',  g a Gaussian of the width √(R'² − R²)

    The ends, which would need points beyond the data, are left out, and so is what lies
    beside masked points. An error σ becomes √(R/R') √(g ∗ σ²).

    Args:
        spectrum: of the resolution R.
        resolution: R', cm⁻¹, above R.

    Raises:
        IncompatibleError: nothing is left between the ends.

    Source: docs/theory.md, eq. (59).
    """
    sigma = math.sqrt(resolution**2 - spectrum.resolution**2) / _WIDTH
    x = spectrum.wavenumbers
    length = float(x[-1] - x[0])
    spacing = min(float(np.diff(x).min()), sigma / _POINTS)
    n_points = min(round(length / spacing), _MOST_POINTS) + 1
    grid: Array = np.linspace(x[0], x[-1], n_points)
    reach = math.ceil(_REACH * sigma / (grid[1] - grid[0]))
    if n_points < 2 * reach + 3:
        raise IncompatibleError(
            f"{spectrum.name} must reach over more than {2 * _REACH * sigma:.0f} cm⁻¹ "
            f"to be broadened to {resolution:g} cm⁻¹, but covers {length:g}. Compare "
            "with a run of a finer resolution."
        )
    offsets = (grid[1] - grid[0]) * np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    fine = interpolated(spectrum, grid)
    error = fine.error
    if error is not None:
        ratio = spectrum.resolution / resolution
        error = np.sqrt(ratio * np.maximum(_smooth(error**2, kernel), 0.0))
    return replace(
        spectrum,
        wavenumbers=grid[reach:-reach],
        intensity=_smooth(fine.intensity, kernel),
        error=error,
        resolution=resolution,
        dof=None,
    )


def _as_is(source: Source) -> Sampled:
    if source.run is None:
        return Sampled(source.spectrum)
    return source.run.sampled(source.spectrum.name)


def _coarser(source: Source, resolution: float) -> tuple[Sampled, str]:
    """The spectrum at a coarser resolution, and how it was made."""
    name, old = source.spectrum.name, source.spectrum.resolution
    if source.run is not None and source.run.can_recompute(name):
        return source.run.at_resolution(name, resolution), (
            f"compared at a resolution of {resolution:.3g} cm⁻¹: {source.label} "
            f"({old:.3g}) is computed again from its correlations with the window "
            f"{source.run.window}"
        )
    width = math.sqrt(resolution**2 - old**2)
    return Sampled(broadened(source.spectrum, resolution)), (
        f"compared at a resolution of {resolution:.3g} cm⁻¹: {source.label} "
        f"({old:.3g}) is broadened by a Gaussian of {width:.3g} cm⁻¹"
    )


def _smooth(values: Array, kernel: Array) -> Array:
    """Convolution where the kernel lies inside; NaN where it meets a NaN."""
    known = np.isfinite(values)
    size = fft.next_fast_len(len(values), real=True)
    transform = fft.rfft(kernel, size)

    def convolved(series: Array) -> Array:
        whole: Array = fft.irfft(fft.rfft(series, size) * transform, size)
        return whole[len(kernel) - 1 : len(values)]

    smooth = convolved(np.where(known, values, 0.0))
    masked = convolved(1.0 - known) > 1e-9
    return np.where(masked, np.nan, smooth)
