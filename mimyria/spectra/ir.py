"""IR absorption from the correlation of the dipole velocity."""

from __future__ import annotations

import numpy as np

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError, UnitError
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.transform import (
    absolute_error,
    cosine_transform,
    padded_intervals,
    relative_error,
    wavenumber_grid,
)
from mimyria.spectra.windows import LagWindow
from mimyria.units import DIPOLE_CORRELATION_UNIT, IR_CONSTANT

__all__ = ["ir_absorption"]

_N_COMPONENTS = 3


def ir_absorption(
    correlation: Correlation,
    *,
    volume: float,
    temperature: float,
    window: LagWindow,
    spacing: float | None = None,
) -> Spectrum:
    """Naperian absorption coefficient times refractive index, absolute.

    α(ν) n(ν) = K_IR / (V T) ∫ <J(0)·J(t)> cos(2π c ν t) dt,  J = dM/dt

    The harmonic quantum correction of absorption is the factor 1 and is thereby in.

    Args:
        correlation: of the dipole velocity, with the pairs xx, yy and zz.
        volume: volume V of the cell, Å³.
        temperature: temperature T of the ensemble, K.
        window: weights of the lags.
        spacing: largest distance of grid points, cm⁻¹; None takes the lags as they are.

    Returns:
        α n in cm⁻¹, up to the Nyquist wavenumber.

    Source: docs/theory.md, eq. (4).
    """
    if correlation.unit != DIPOLE_CORRELATION_UNIT:
        raise UnitError(
            f"the IR needs a correlation in {DIPOLE_CORRELATION_UNIT}, but this one "
            f"is in {correlation.unit}. Is it the polarizability's?"
        )
    for name, value in (("volume", volume), ("temperature", temperature)):
        if not (np.isfinite(value) and value > 0):
            raise SettingsError(f"{name} must be above 0, but is {value}.")
    interval = correlation.interval
    n_intervals = padded_intervals(correlation.n_lags, interval, spacing)
    dot_product = sum(correlation.column(a, a) for a in range(_N_COMPONENTS))
    spectrum = cosine_transform(np.asarray(dot_product), interval, window, n_intervals)
    intensity = IR_CONSTANT / (volume * temperature) * spectrum
    relative = relative_error(correlation.counts, window, n_intervals, _N_COMPONENTS)
    return Spectrum(
        wavenumber_grid(n_intervals, interval),
        intensity,
        "cm^-1",
        "ir",
        absolute_error(relative, intensity),
        window.resolution,
    )
