"""Quantum corrections of classical spectra, and the factors of a Raman experiment.

The formulas for α n and for the Raman cross section hold for Kubo-transformed
correlations; putting the classical one in their place is the harmonic correction. Other
corrections are factors on that result, and options with a warning.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.units import HC_OVER_KB

__all__ = [
    "CORRECTIONS",
    "DETECTORS",
    "KINDS",
    "correction_factor",
    "reduced_energy",
    "scattering_factor",
]

CORRECTIONS: Final = ("harmonic", "standard", "schofield")
"""Names of the quantum corrections; `harmonic` is the factor 1."""

KINDS: Final = ("lineshape", "reduced", "stokes", "anti-stokes")
"""What a Raman intensity can mean; see `scattering.raman_intensity`."""

DETECTORS: Final = ("power", "photons")
"""Detectors that measure power, (ν0 − ν)⁴, or count photons, ν0 (ν0 − ν)³."""


def reduced_energy(wavenumbers: Array, temperature: float) -> Array:
    """Photon energy over thermal energy, x = h c ν / k_B T."""
    if not (np.isfinite(temperature) and temperature > 0):
        raise SettingsError(f"temperature must be above 0, but is {temperature}.")
    x: Array = HC_OVER_KB / temperature * np.asarray(wavenumbers, dtype=np.float64)
    return x


def correction_factor(name: str, wavenumbers: Array, temperature: float) -> Array:
    """Quantum correction relative to the harmonic one.

    harmonic:  1
    standard:  2/(1 + e^−x) · (1 − e^−x)/x
    schofield: e^(x/2) (1 − e^−x)/x

    Args:
        name: one of `CORRECTIONS`.
        wavenumbers: cm⁻¹.
        temperature: K.

    Returns:
        Factors for absorption, ε'' and Raman intensities alike; 1 at ν = 0.

    Raises:
        SettingsError: there is no such correction.

    Source: docs/theory.md, eq. (17).
    """
    if name not in CORRECTIONS:
        raise SettingsError(
            f"unknown quantum correction '{name}'; known are {', '.join(CORRECTIONS)}."
        )
    x = reduced_energy(wavenumbers, temperature)
    if name == "harmonic":
        return np.ones_like(x)
    safe = np.where(x > 0, x, 1.0)
    net = np.where(x > 0, -np.expm1(-safe) / safe, 1.0)
    factor: Array
    if name == "standard":
        factor = 2.0 / (1.0 + np.exp(-x)) * net
    else:
        factor = np.exp(0.5 * x) * net
    return factor


def scattering_factor(
    wavenumbers: Array,
    temperature: float,
    *,
    laser_wavelength: float,
    detector: str = "power",
    anti_stokes: bool = False,
) -> Array:
    """From the spectrum of dα/dt to a Raman experiment, without the constant K_R/T.

    Stokes:      (ν0 − ν)⁴ / [ν (1 − e^−x)]
    anti-Stokes: (ν0 + ν)⁴ e^−x / [ν (1 − e^−x)]

    A detector that counts photons sees ν0 (ν0 ∓ ν)³ in place of the fourth power.

    Args:
        wavenumbers: size of the shift, cm⁻¹, above zero: the factor diverges as 1/ν².
        temperature: K.
        laser_wavelength: 10⁷/ν0, nm.
        detector: one of `DETECTORS`.
        anti_stokes: the side of higher frequencies.

    Returns:
        cm⁻³.

    Raises:
        SettingsError: a shift is zero or beyond the laser, or the detector is unknown.

    Source: docs/theory.md, eq. (20).
    """
    if detector not in DETECTORS:
        raise SettingsError(
            f"unknown detector '{detector}'; known are {', '.join(DETECTORS)}."
        )
    if not (np.isfinite(laser_wavelength) and laser_wavelength > 0):
        raise SettingsError(
            f"the laser wavelength must be above 0 nm, but is {laser_wavelength}."
        )
    laser = 1e7 / laser_wavelength
    nu = np.asarray(wavenumbers, dtype=np.float64)
    if not nu.min() > 0:
        raise SettingsError(
            "a Raman experiment has no intensity at a shift of 0 cm⁻¹, where the "
            "factor diverges. Let it begin above that, as at 10 cm⁻¹."
        )
    if not (anti_stokes or nu.max() < laser):
        raise SettingsError(
            f"the Stokes shift must stay below the laser at {laser:.0f} cm⁻¹, but the "
            f"spectrum reaches {nu.max():.0f} cm⁻¹. Cut it first."
        )
    x = reduced_energy(nu, temperature)
    scattered = laser + nu if anti_stokes else laser - nu
    power = scattered**4 if detector == "power" else laser * scattered**3
    occupation = np.exp(-x) if anti_stokes else 1.0
    factor: Array = power * occupation / (nu * -np.expm1(-x))
    return factor
