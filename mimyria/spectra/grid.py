"""Grid: the wavenumbers, the window and the transforms that belong to one correlation.

A quantity of this package is a function (correlation) → values on a `Grid`. It takes
nothing but arrays, so that the same function serves the whole run and each block of it,
which is how errors of nonlinear quantities are found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra.transform import (
    absolute_error,
    cosine_transform,
    padded_intervals,
    relative_error,
    wavenumber_grid,
)
from mimyria.spectra.windows import LagWindow
from mimyria.units import SPEED_OF_LIGHT

__all__ = ["Grid", "grid_for"]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Wavenumbers ν_k = k / (2 n D c) from `first` to `last`, and a window.

    Attributes:
        window: weights of the lags.
        interval: time D between two lags, fs.
        n_intervals: intervals n to transform, with the zeros appended.
        first: index of the first wavenumber.
        last: index after the last wavenumber.
    """

    window: LagWindow
    interval: float
    n_intervals: int
    first: int
    last: int

    @property
    def wavenumbers(self) -> Array:
        """(last − first,) cm⁻¹."""
        whole = wavenumber_grid(self.n_intervals, self.interval)
        wavenumbers: Array = whole[self.first : self.last]
        return wavenumbers

    @property
    def angular_frequencies(self) -> Array:
        """(last − first,) rad/fs."""
        return 2 * np.pi * SPEED_OF_LIGHT * self.wavenumbers

    def cosine(self, values: Array) -> Array:
        """Two-sided spectrum S(ν) of the (n_lags,) correlation `values`.

        Source: docs/theory.md, eq. (7).
        """
        spectrum = cosine_transform(
            values, self.interval, self.window, self.n_intervals
        )
        part: Array = spectrum[self.first : self.last]
        return part

    def sine(self, values: Array) -> Array:
        """One-sided sine transform of the same windowed correlation.

        B(ν) = ∫ C(t) w(t) sin(ω t) dt  over 0 … ∞
             = D Σ_l w_l C_l sin(ω l D) + D² ω C_0 / 12

        The sum is the trapezoidal rule. Its integrand rises from zero with the slope
        ω C_0; the last term is what the rule misses for that (Euler and Maclaurin).

        Source: docs/theory.md, eq. (12).
        """
        padded = np.zeros(self.n_intervals + 1)
        padded[: len(values)] = values * self.window.weights
        inner = np.zeros(self.n_intervals + 1)
        inner[1:-1] = 0.5 * self.interval * fft.dst(padded[1:-1], type=1)
        part: Array = inner[self.first : self.last]
        slope = self.angular_frequencies * values[0]
        corrected: Array = part + self.interval**2 / 12 * slope
        return corrected

    def theory_error(
        self, correlation: Correlation, n_components: int, intensity: Array
    ) -> Array:
        """Standard error of an intensity if the motion is Gaussian noise.

        Args:
            correlation: whose pairs were averaged.
            n_components: independent components in the intensity.
            intensity: (last − first,), proportional to a power spectrum.

        Source: docs/theory.md, eq. (8).
        """
        relative = relative_error(
            correlation.counts, self.window, self.n_intervals, n_components
        )
        return absolute_error(relative[self.first : self.last], intensity)


def grid_for(
    correlation: Correlation,
    window: LagWindow,
    *,
    spacing: float | None = None,
    low: float = 0.0,
    high: float = float("inf"),
) -> Grid:
    """The grid of a correlation from `low` to `high` cm⁻¹, both included.

    Args:
        correlation: gives the interval and the number of lags.
        window: weights of the lags.
        spacing: largest distance of grid points, cm⁻¹; None takes the lags as they are.
        low: first wavenumber or less, cm⁻¹; zero itself is left out if low is above it.
        high: last wavenumber or more, cm⁻¹.
    """
    interval = correlation.interval
    n_intervals = padded_intervals(correlation.n_lags, interval, spacing)
    whole = wavenumber_grid(n_intervals, interval)
    first = int(np.searchsorted(whole, low, side="left"))
    last = int(np.searchsorted(whole, high, side="right"))
    return Grid(window, interval, n_intervals, first, last)
