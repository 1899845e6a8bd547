"""Velocity spectrum: where the atoms move, without any charge.

It needs no network and is the first check of an IR or Raman band position. A sample
is √m v of every atom and direction; the sum of their autocorrelations at t = 0 is
3N k_B T.
"""

from __future__ import annotations

import numpy as np

from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.errors import FrameError, ShapeError, UnitError
from mimyria.frame import Array
from mimyria.spectra.grid import grid_for
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import LagWindow
from mimyria.units import SPEED_OF_LIGHT

__all__ = [
    "VELOCITY_CORRELATION_UNIT",
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
    """A correlator for samples of `mass_weighted`.

    All atoms are one channel: the sum of their autocorrelations is what a spectrum
    needs, and takes a fraction of the memory of each for itself.
    """
    components = (1.0,) * (3 * n_atoms)
    unit = VELOCITY_CORRELATION_UNIT
    return Correlator(1, n_lags, interval, unit, components=components)


def velocity_spectrum(
    correlation: Correlation,
    *,
    n_atoms: int,
    window: LagWindow,
    spacing: float | None = None,
    n_components: int | None = None,
) -> Spectrum:
    """Vibrational density of states, three modes for every atom.

    g(ν) = 2 c 3N ∫ c(t) cos(2π c ν t) dt,  c(t) = Σ m v(0)·v(t) / Σ m v(0)·v(0)

    Args:
        correlation: result of a `velocity_correlator`.
        n_atoms: number N of its atoms.
        window: weights of the lags.
        spacing: largest distance of grid points, cm⁻¹; None takes the lags as they are.
        n_components: independent components in it; None: all modes.

    Returns:
        Modes per cm⁻¹; the integral from zero to Nyquist is 3 n_atoms. The error is
        that of theory.

    Source: docs/theory.md, eq. (90).
    """
    if correlation.unit != VELOCITY_CORRELATION_UNIT:
        raise UnitError(
            f"a velocity spectrum needs a correlation in {VELOCITY_CORRELATION_UNIT}, "
            f"but this one is in {correlation.unit}."
        )
    total = correlation.values.sum(axis=1)
    if not total[0] > 0:
        raise FrameError("no atom moves: a velocity spectrum needs nonzero velocities.")
    grid = grid_for(correlation, window, spacing=spacing)
    n_modes = 3 * n_atoms
    intensity = 2 * SPEED_OF_LIGHT * n_modes * grid.cosine(total / total[0])
    return Spectrum(
        grid.wavenumbers,
        intensity,
        "cm",
        "vdos",
        grid.theory_error(correlation, n_components or n_modes, intensity),
        window.resolution,
    )
