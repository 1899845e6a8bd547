"""Raman spectra from the correlation of the polarizability velocity.

The spectra are those of dα/dt: the R representation, I_exp ν (1 − e^−x) / (ν0 − ν)⁴ up
to a constant. `raman_cross_section` leads to what a spectrometer sees.
"""

from __future__ import annotations

import numpy as np

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError, UnitError
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
from mimyria.units import (
    HC_OVER_KB,
    POLARIZABILITY_CORRELATION_UNIT,
    RAMAN_CONSTANT,
)

__all__ = [
    "RAMAN_UNIT",
    "anisotropic_correlation",
    "isotropic_correlation",
    "raman_cross_section",
    "raman_spectra",
]

RAMAN_UNIT = "e^4 a0^4 Eh^-2 fs^-1"

_N_ISOTROPIC = 1
_N_ANISOTROPIC = 5
# Below this part of the highest VV, or within three standard errors of zero, the
# depolarisation ratio is a ratio of noise and leakage.
_RATIO_FLOOR = 1e-3
_RATIO_ERRORS = 3.0


def isotropic_correlation(correlation: Correlation) -> Array:
    """Correlation of the mean polarizability velocity.

    C_iso = <a(0) a(t)>,  a = (α_xx + α_yy + α_zz)/3

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.

    Returns:
        (n_lags,), in the unit of `correlation`.

    Source: docs/theory.md, eq. (5).
    """
    c = correlation.column
    diagonal = c(0, 0) + c(1, 1) + c(2, 2)
    result: Array = (diagonal + 2 * (c(0, 1) + c(0, 2) + c(1, 2))) / 9
    return result


def anisotropic_correlation(correlation: Correlation) -> Array:
    """Correlation of the anisotropy, Placzek's γ².

    C_γ² = (3/2) <Tr β(0) β(t)>,  β = α − a 1

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.

    Returns:
        (n_lags,), in the unit of `correlation`.

    Source: docs/theory.md, eq. (5).
    """
    c = correlation.column
    diagonal = c(0, 0) + c(1, 1) + c(2, 2)
    off_diagonal = c(3, 3) + c(4, 4) + c(5, 5)
    trace = diagonal + 2 * off_diagonal - 3 * isotropic_correlation(correlation)
    result: Array = 1.5 * trace
    return result


def raman_spectra(
    correlation: Correlation, *, window: LagWindow, spacing: float | None = None
) -> dict[str, Spectrum]:
    """The six spectra of an isotropic sample.

    VV = iso + (4/45) γ²,  VH = γ²/15,  unpolarised = iso + (7/45) γ²,  ρ = VH/VV

    Errors take iso and γ² as independent; ρ is NaN where VV is within noise of zero.

    Args:
        correlation: of the six components in the order of `currents.VOIGT`, all pairs.
        window: weights of the lags.
        spacing: largest distance of grid points, cm⁻¹; None takes the lags as they are.

    Returns:
        `raman_iso`, `raman_aniso` (γ²), `raman_vv`, `raman_vh`, `raman_unpolarised` in
        e⁴ a0⁴ Eh⁻² fs⁻¹ for the whole cell, and `depolarisation_ratio`.

    Source: docs/theory.md, eq. (6).
    """
    if correlation.unit != POLARIZABILITY_CORRELATION_UNIT:
        raise UnitError(
            "Raman spectra need a correlation in "
            f"{POLARIZABILITY_CORRELATION_UNIT}, but this one is in "
            f"{correlation.unit}. Is it the dipole's?"
        )
    interval = correlation.interval
    n_intervals = padded_intervals(correlation.n_lags, interval, spacing)
    wavenumbers = wavenumber_grid(n_intervals, interval)
    iso, g2 = (
        cosine_transform(values, interval, window, n_intervals)
        for values in (
            isotropic_correlation(correlation),
            anisotropic_correlation(correlation),
        )
    )
    relative_iso, relative_g2 = (
        relative_error(correlation.counts, window, n_intervals, n_components)
        for n_components in (_N_ISOTROPIC, _N_ANISOTROPIC)
    )
    iso_error = absolute_error(relative_iso, iso)
    g2_error = absolute_error(relative_g2, g2)

    def spectrum(name: str, values: Array, error: Array, unit: str) -> Spectrum:
        return Spectrum(wavenumbers, values, unit, name, error, window.resolution)

    spectra = {
        name: spectrum(
            name,
            a * iso + b * g2,
            _combined(a, iso_error, b, g2_error),
            RAMAN_UNIT,
        )
        for name, a, b in (
            ("raman_iso", 1.0, 0.0),
            ("raman_aniso", 0.0, 1.0),
            ("raman_vv", 1.0, 4 / 45),
            ("raman_vh", 0.0, 1 / 15),
            ("raman_unpolarised", 1.0, 7 / 45),
        )
    }
    ratio, ratio_error = _depolarisation(
        spectra["raman_vv"], iso, g2, iso_error, g2_error
    )
    name = "depolarisation_ratio"
    spectra[name] = spectrum(name, ratio, ratio_error, "1")
    return spectra


def _combined(a: float, first: Array, b: float, second: Array) -> Array:
    """Error of a x + b y; a term of weight zero is left out, even an infinite one."""
    terms = [weight * error for weight, error in ((a, first), (b, second)) if weight]
    combined: Array = np.sqrt(sum(term**2 for term in terms))
    return combined


def _depolarisation(
    vv: Spectrum, iso: Array, g2: Array, iso_error: Array, g2_error: Array
) -> tuple[Array, Array]:
    """ρ = VH/VV and its error; d ρ = [iso dVH − VH d iso] / VV²."""
    assert vv.error is not None  # raman_spectra gives one to every spectrum
    floor = np.maximum(_RATIO_ERRORS * vv.error, _RATIO_FLOOR * vv.intensity.max())
    meaningful = np.isfinite(floor) & (vv.intensity > floor)
    safe = np.where(meaningful, vv.intensity, 1.0)
    iso_error, g2_error = (
        np.where(meaningful, error, 0.0) for error in (iso_error, g2_error)
    )
    ratio = np.where(meaningful, g2 / 15 / safe, np.nan)
    error = np.hypot(iso * g2_error, g2 * iso_error) / 15 / safe**2
    return ratio, np.where(meaningful, error, np.nan)


def raman_cross_section(
    spectrum: Spectrum, *, temperature: float, laser_wavelength: float
) -> Spectrum:
    """Absolute Stokes cross section of the cell for one scattering geometry.

    d²σ/dΩ dν = K_R/T (ν0 − ν)⁴ / [ν (1 − e^−x)] S(ν),  x = h c ν / k_B T

    Args:
        spectrum: VV, VH or unpolarised of `raman_spectra`.
        temperature: temperature T of the ensemble, K.
        laser_wavelength: 10⁷/ν0, nm.

    Returns:
        cm² sr⁻¹ per cm⁻¹; without the point at ν = 0, where the factor diverges.

    Source: docs/theory.md, eq. (6).
    """
    if spectrum.unit != RAMAN_UNIT:
        raise UnitError(
            f"a cross section needs a Raman spectrum in {RAMAN_UNIT}, but "
            f"{spectrum.name} is in {spectrum.unit}."
        )
    laser = 1e7 / laser_wavelength
    if not 0 < spectrum.wavenumbers[-1] < laser:
        raise SettingsError(
            f"the Stokes shift must stay below the laser at {laser:.0f} cm⁻¹, but the "
            f"spectrum reaches {spectrum.wavenumbers[-1]:.0f} cm⁻¹. Cut it first."
        )
    shifted = spectrum.wavenumbers > 0
    nu = spectrum.wavenumbers[shifted]
    factor = RAMAN_CONSTANT / temperature * (laser - nu) ** 4
    factor = factor / (nu * -np.expm1(-HC_OVER_KB * nu / temperature))
    return Spectrum(
        nu,
        factor * spectrum.intensity[shifted],
        "cm^2 sr^-1 cm",
        f"{spectrum.name}_cross_section",
        None if spectrum.error is None else factor * spectrum.error[shifted],
        spectrum.resolution,
    )
