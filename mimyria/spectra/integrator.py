"""The blue shift that velocity Verlet gives to every vibration, and its removal.

An integrator with the time step dt turns a harmonic mode of the true ω0 into one of
sin(ω dt/2) = ω0 dt/2. Only the axis is mapped: amplitudes of full-step velocities obey
equipartition already.

Source: docs/theory.md, eq. (18).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.spectra.spectrum import Spectrum
from mimyria.units import SPEED_OF_LIGHT, nyquist_wavenumber

__all__ = ["correct_axis", "observed_wavenumber", "true_wavenumber"]


def true_wavenumber(observed: Array | float, time_step: float) -> Array:
    """What an exact integrator would give: ν_c = sin(π c ν dt) / (π c dt), in cm⁻¹.

    Args:
        observed: position in the spectrum of the run, cm⁻¹, up to 1/(2 c dt).
        time_step: dt of the integrator (not of the samples), fs.

    Source: docs/theory.md, eq. (18).
    """
    _check(time_step)
    values = np.asarray(observed, dtype=np.float64)
    if values.size and values.max() > nyquist_wavenumber(time_step) * (1 + 1e-9):
        raise SettingsError(
            f"a time step of {time_step:g} fs has no vibrations above "
            f"{nyquist_wavenumber(time_step):.0f} cm⁻¹, but the spectrum reaches "
            f"{values.max():.0f}. Give the integrator's step, not the interval of the "
            "samples."
        )
    scale = np.pi * SPEED_OF_LIGHT * time_step
    mapped: Array = np.sin(scale * values) / scale
    return mapped


def observed_wavenumber(true: Array | float, time_step: float) -> Array:
    """Where a harmonic mode appears: the inverse of `true_wavenumber`, in cm⁻¹.

    Raises:
        SettingsError: the mode is unstable with this time step.
    """
    _check(time_step)
    scale = np.pi * SPEED_OF_LIGHT * time_step
    sine = scale * np.asarray(true, dtype=np.float64)
    if sine.size and sine.max() > 1.0:
        raise SettingsError(
            f"a mode above {1.0 / scale:.0f} cm⁻¹ is unstable with a time step of "
            f"{time_step:g} fs."
        )
    mapped: Array = np.arcsin(sine) / scale
    return mapped


def correct_axis(spectrum: Spectrum, time_step: float) -> Spectrum:
    """The same intensities at the wavenumbers of an exact integrator."""
    return replace(
        spectrum, wavenumbers=true_wavenumber(spectrum.wavenumbers, time_step)
    )


def _check(time_step: float) -> None:
    if not (np.isfinite(time_step) and time_step > 0):
        raise SettingsError(
            f"the integrator's time step must be above 0 fs, but is {time_step}."
        )
