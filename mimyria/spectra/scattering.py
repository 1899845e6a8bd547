"""Light scattering: which combination of the 21 correlations an experiment sees.

A scattered amplitude is linear in the six components of dα/dt, so its intensity is a
quadratic form of them: a symmetric (6, 6) matrix F over the order of `currents.VOIGT`.
The same holds for averages over orientations, and for sums over experiments.

    C_F(t) = Σ_uv F_uv ⟨α̇_u(0) α̇_v(t)⟩
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError, UnitError
from mimyria.frame import Array
from mimyria.spectra import quantum
from mimyria.spectra.grid import Grid
from mimyria.units import POLARIZABILITY_CORRELATION_UNIT, RAMAN_CONSTANT

__all__ = [
    "FORMS",
    "KIND_UNITS",
    "NATURAL",
    "N_ANISOTROPIC",
    "N_ISOTROPIC",
    "PLACZEK",
    "RAMAN_UNIT",
    "WEIGHTS",
    "contract",
    "depolarisation_linear",
    "depolarisation_natural",
    "form_spectrum",
    "polarised_form",
    "raman_factor",
    "stands_out",
]

PLACZEK: Final = 1.5
"""γ² = (3/2) Tr ββ."""

_RATIO_FLOOR: Final = 1e-3
_RATIO_ERRORS: Final = 3.0
_TRACE: Final = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
_ISO: Final = np.outer(_TRACE, _TRACE) / 9.0
_G2: Final = PLACZEK * (np.diag([1.0, 1.0, 1.0, 2.0, 2.0, 2.0]) - 3.0 * _ISO)

WEIGHTS: Final = MappingProxyType(
    {
        "raman_iso": (1.0, 0.0),
        "raman_aniso": (0.0, 1.0),
        "raman_vv": (1.0, 4.0 / 45.0),
        "raman_vh": (0.0, 1.0 / 15.0),
        "raman_unpolarised": (1.0, 7.0 / 45.0),
        "raman_natural_90": (0.5, 13.0 / 90.0),
    }
)
"""Weights of the mean square a² and of Placzek's γ² in the spectra of a liquid."""

NATURAL: Final = (0.0, 6.0 / 45.0)
"""Weights in the numerator of ρ_n, natural light at 90°."""

N_ISOTROPIC: Final = 1
N_ANISOTROPIC: Final = 5
"""Independent components of a² and of γ², for the error of theory."""


FORMS: Final = MappingProxyType(
    {name: a * _ISO + b * _G2 for name, (a, b) in WEIGHTS.items()}
)
"""Forms of an isotropic sample: mean square, Placzek's γ², polarised light with the
analyser parallel (VV), crossed (VH) or absent, and natural light at 90°, no analyser.

Source: docs/theory.md, eq. (19).
"""

RAMAN_UNIT: Final = "e^4 a0^4 Eh^-2 fs^-1"
"""Unit of the spectrum of dα/dt of the whole cell."""

KIND_UNITS: Final = MappingProxyType(
    {
        "lineshape": RAMAN_UNIT,
        "reduced": "cm^6 sr^-1",
        "stokes": "cm^2 sr^-1 cm",
        "anti-stokes": "cm^2 sr^-1 cm",
    }
)
"""Unit of each of `quantum.KINDS`, for the whole cell."""


def contract(correlation: Correlation, form: Array) -> Array:
    """The (n_lags,) correlation of a quadratic form.

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.
        form: (6, 6) symmetric.

    Raises:
        UnitError: it is not a correlation of the polarizability velocity.
        IncompatibleError: a pair that the form needs was not correlated.
    """
    if correlation.unit != POLARIZABILITY_CORRELATION_UNIT:
        raise UnitError(
            "Raman spectra need a correlation in "
            f"{POLARIZABILITY_CORRELATION_UNIT}, but this one is in "
            f"{correlation.unit}. Is it the dipole's?"
        )
    total = np.zeros(correlation.n_lags)
    for u in range(len(form)):
        for v in range(u, len(form)):
            weight = form[u, v] if u == v else form[u, v] + form[v, u]
            if weight:
                total += weight * correlation.column(u, v)
    return total


def stands_out(intensity: Array, error: Array) -> NDArray[np.bool_]:
    """Where an intensity is more than noise and leakage, so that a ratio has a meaning.

    Noise is three standard errors; leakage is a thousandth of the highest intensity.
    """
    floor = np.maximum(_RATIO_ERRORS * error, _RATIO_FLOOR * intensity.max())
    known: NDArray[np.bool_] = np.isfinite(floor) & (intensity > floor)
    return known


def form_spectrum(
    correlation: Correlation, grid: Grid, form: Array, factor: Array | float = 1.0
) -> Array:
    """Spectrum of a quadratic form, times a factor for each wavenumber."""
    spectrum: Array = factor * grid.cosine(contract(correlation, form))
    return spectrum


def polarised_form(incident: Array, scattered: Array) -> Array:
    """The form of one pair of polarisations, of a single crystal or a surface.

    s = e_s · α̇ · e_i = Σ_u p_u α̇_u
    p_aa = e_s^a e_i^a,  p_ab = e_s^a e_i^b + e_s^b e_i^a

    Args:
        incident: (3,) unit vector e_i.
        scattered: (3,) unit vector e_s.

    Returns:
        (6, 6), p pᵀ.

    Source: docs/theory.md, eq. (22).
    """
    x, y, z = scattered[:, np.newaxis] * incident[np.newaxis, :]
    p = np.array([x[0], y[1], z[2], x[1] + y[0], x[2] + z[0], y[2] + z[1]])
    return np.outer(p, p)


def raman_factor(
    kind: str,
    wavenumbers: Array,
    temperature: float,
    *,
    laser_wavelength: float | None = None,
    detector: str = "power",
    correction: str = "harmonic",
) -> Array:
    """What the spectrum of dα/dt is multiplied with.

    lineshape:   1, the spectrum itself
    reduced:     K_R/T, the R representation on an absolute scale
    stokes:      K_R/T (ν0 − ν)⁴ / [ν (1 − e^−x)], what a spectrometer sees
    anti-stokes: the same on the other side of the laser

    Args:
        kind: one of `quantum.KINDS`.
        wavenumbers: cm⁻¹; above zero for the last two.
        temperature: K.
        laser_wavelength: nm; needed for the last two.
        detector: one of `quantum.DETECTORS`.
        correction: one of `quantum.CORRECTIONS`.

    Returns:
        Factors that lead to the unit in `KIND_UNITS`.

    Source: docs/theory.md, eq. (21).
    """
    if kind not in KIND_UNITS:
        raise SettingsError(
            f"unknown kind of Raman spectrum '{kind}'; known are "
            f"{', '.join(KIND_UNITS)}."
        )
    factor = quantum.correction_factor(correction, wavenumbers, temperature)
    if kind == "lineshape":
        return factor
    factor = RAMAN_CONSTANT / temperature * factor
    if kind == "reduced":
        return factor
    if laser_wavelength is None:
        raise SettingsError(
            f"a {kind} spectrum needs the wavelength of the laser, such as 532 nm."
        )
    return factor * quantum.scattering_factor(
        wavenumbers,
        temperature,
        laser_wavelength=laser_wavelength,
        detector=detector,
        anti_stokes=kind == "anti-stokes",
    )


def depolarisation_linear(correlation: Correlation, grid: Grid) -> Array:
    """ρ = VH/VV of linearly polarised light, 0 … 3/4; unmasked.

    Source: docs/theory.md, eq. (6).
    """
    return _ratio(correlation, grid, FORMS["raman_vh"], FORMS["raman_vv"])


def depolarisation_natural(correlation: Correlation, grid: Grid) -> Array:
    """ρ_n = 6 γ² / (45 a² + 7 γ²) of natural light at 90°, 0 … 6/7; unmasked.

    Source: docs/theory.md, eq. (19).
    """
    return _ratio(correlation, grid, NATURAL[1] * _G2, FORMS["raman_unpolarised"])


def _ratio(correlation: Correlation, grid: Grid, above: Array, below: Array) -> Array:
    numerator = form_spectrum(correlation, grid, above)
    denominator = form_spectrum(correlation, grid, below)
    known = denominator != 0
    ratio: Array = np.where(known, numerator / np.where(known, denominator, 1.0), 0.0)
    return ratio
