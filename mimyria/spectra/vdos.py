"""Velocity spectrum: where the atoms move, without any charge.

It needs no network and is the first check of an IR or Raman band position. Channels
are √m v of every atom and direction; the sum of their autocorrelations at t = 0 is
3N k_B T.
"""

from __future__ import annotations

import numpy as np

from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.errors import FrameError, ShapeError, UnitError
from mimyria.frame import Array
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.transform import (
    absolute_error,
    cosine_transform,
    padded_intervals,
    relative_error,
    wavenumber_grid,
)
from mimyria.spectra.windows import LagWindow
from mimyria.units import SPEED_OF_LIGHT

__all__ = [
    "VELOCITY_CORRELATION_UNIT",
    "kinetic_correlator",
    "mass_weighted",
    "velocity_correlator",
    "velocity_spectrum",
]

VELOCITY_CORRELATION_UNIT = "amu Angstrom^2 fs^-2"


def mass_weighted(velocities: Array, masses: Array) -> Array:
    """√m v as samples of a correlator.

    Args:
        velocities: (..., n_atoms, 3) Å/fs.
        masses: (n_atoms,) amu.

    Returns:
        (..., 3 n_atoms) √amu Å/fs.
    """
    if velocities.shape[-2:] != (len(masses), 3):
        raise ShapeError(
            f"velocities must have the shape (..., {len(masses)}, 3), but have "
            f"{velocities.shape}."
        )
    weighted: Array = velocities * np.sqrt(masses)[:, np.newaxis]
    return weighted.reshape(*velocities.shape[:-2], -1)


def velocity_correlator(n_atoms: int, n_lags: int, interval: float) -> Correlator:
    """A correlator for samples of `mass_weighted`: autocorrelations only."""
    pairs = [(channel, channel) for channel in range(3 * n_atoms)]
    return Correlator(
        3 * n_atoms, n_lags, interval, VELOCITY_CORRELATION_UNIT, pairs, max_blocks=0
    )


def kinetic_correlator(n_atoms: int, n_lags: int, interval: float) -> Correlator:
    """A correlator of one channel that holds `mass_weighted` of all atoms at once.

    It gives the sum of their autocorrelations only, which is what a spectrum needs, in
    a fraction of the memory and with blocks for the error.
    """
    components = (1.0,) * (3 * n_atoms)
    unit = VELOCITY_CORRELATION_UNIT
    return Correlator(1, n_lags, interval, unit, components=components)


def velocity_spectrum(
    correlation: Correlation,
    *,
    window: LagWindow,
    spacing: float | None = None,
    n_modes: int | None = None,
) -> Spectrum:
    """Vibrational density of states, one mode for every channel.

    g(ν) = 2 c n_modes ∫ c(t) cos(2π c ν t) dt,  c(t) = Σ m v(0)·v(t) / Σ m v(0)·v(0)

    Args:
        correlation: result of a `velocity_correlator` or a `kinetic_correlator`.
        window: weights of the lags.
        spacing: largest distance of grid points, cm⁻¹; None takes the lags as they are.
        n_modes: 3 n_atoms; None: one for each pair of the correlation.

    Returns:
        Modes per cm⁻¹; the integral from zero to Nyquist is 3 n_atoms. The error takes
        all channels as independent.
    """
    if correlation.unit != VELOCITY_CORRELATION_UNIT:
        raise UnitError(
            f"a velocity spectrum needs a correlation in {VELOCITY_CORRELATION_UNIT}, "
            f"but this one is in {correlation.unit}."
        )
    total = correlation.values.sum(axis=1)
    if not total[0] > 0:
        raise FrameError("no atom moves: a velocity spectrum needs nonzero velocities.")
    n_modes = n_modes or correlation.values.shape[1]
    interval = correlation.interval
    n_intervals = padded_intervals(correlation.n_lags, interval, spacing)
    transformed = cosine_transform(total / total[0], interval, window, n_intervals)
    intensity = 2 * SPEED_OF_LIGHT * n_modes * transformed
    relative = relative_error(correlation.counts, window, n_intervals, n_modes)
    return Spectrum(
        wavenumber_grid(n_intervals, interval),
        intensity,
        "cm",
        "vdos",
        absolute_error(relative, intensity),
        window.resolution,
    )
