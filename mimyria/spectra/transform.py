"""Cosine transform of correlations, and its statistical error.

The grid of wavenumbers is ν_k = k / (2 n D c) for n intervals D: the lags themselves,
or more when zeros are appended. It reaches exactly the Nyquist wavenumber.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra.windows import LagWindow
from mimyria.units import SPEED_OF_LIGHT

__all__ = [
    "absolute_error",
    "cosine_transform",
    "padded_intervals",
    "relative_error",
    "wavenumber_grid",
]


def padded_intervals(n_lags: int, interval: float, spacing: float | None) -> int:
    """Intervals to transform, so that grid points are at most `spacing` cm⁻¹ apart.

    None means the lags as they are: n_lags − 1 intervals.
    """
    if spacing is None:
        return n_lags - 1
    if not spacing > 0:
        raise SettingsError(f"spacing must be above 0 cm⁻¹, but is {spacing}.")
    wanted = math.ceil(1.0 / (2 * SPEED_OF_LIGHT * interval * spacing))
    return int(fft.next_fast_len(max(wanted, n_lags - 1), real=True))


def wavenumber_grid(n_intervals: int, interval: float) -> Array:
    """ν_k = k / (2 n D c) for k = 0 … n, in cm⁻¹."""
    step = 2 * n_intervals * interval * SPEED_OF_LIGHT
    grid: Array = np.arange(n_intervals + 1) / step
    return grid


def cosine_transform(
    values: Array, interval: float, window: LagWindow, n_intervals: int
) -> Array:
    """Two-sided spectrum of an even correlation.

    S(ν) = ∫ C(t) w(t) cos(2π c ν t) dt  over −∞ … ∞
         = D [C_0 + 2 Σ_l w_l C_l cos(2π c ν l D)]

    Args:
        values: (n_lags,) — C at the lags l D, in a unit U.
        interval: D, fs.
        window: weights of the lags.
        n_intervals: from `padded_intervals`.

    Returns:
        (n_intervals + 1,) U fs — on `wavenumber_grid(n_intervals, interval)`.

    Source: docs/theory.md, eq. (7).
    """
    padded = np.zeros(n_intervals + 1)
    padded[: len(values)] = values * window.weights
    spectrum: Array = interval * fft.dct(padded, type=1)
    return spectrum


def relative_error(
    counts: NDArray[np.int64],
    window: LagWindow,
    n_intervals: int,
    n_components: int,
) -> Array:
    """Relative standard error of a spectrum of Gaussian noise.

    r(ν)² = (1/n_c) Σ_l (w_l²/count_l) [1 + cos(2 ω l D)],  l = −L … L

    which is W/(N n_c), W = Σ w², away from zero and from the Nyquist wavenumber, and
    twice that there.

    Args:
        counts: (n_lags,) — pairs averaged at each lag.
        window: weights of the lags.
        n_intervals: from `padded_intervals`.
        n_components: independent components n_c in the spectrum (IR 3, iso 1, β 5).

    Returns:
        (n_intervals + 1,) — infinite before any pair was seen.

    Source: docs/theory.md, eq. (8).
    """
    if counts[0] == 0:
        return np.full(n_intervals + 1, np.inf)
    padded = np.zeros(n_intervals + 1)
    padded[: len(counts)] = np.where(
        counts > 0, window.weights**2 / np.maximum(counts, 1), 0.0
    )
    sums = fft.dct(padded, type=1)
    # 2 ω lies on every second point of the same grid and folds at the Nyquist end.
    doubled = 2 * np.arange(n_intervals + 1)
    folded = np.minimum(doubled, 2 * n_intervals - doubled)
    variance = (sums[0] + sums[folded]) / n_components
    error: Array = np.sqrt(np.maximum(variance, 0.0))
    return error


def absolute_error(relative: Array, intensity: Array) -> Array:
    """Error r |S|, and infinite where nothing is known, whatever the intensity."""
    error = np.full(intensity.shape, np.inf)
    np.multiply(relative, np.abs(intensity), out=error, where=np.isfinite(relative))
    return error
