"""Raman spectra from the correlation of the polarizability velocity.

The spectra are those of dα/dt: the R representation, I_exp ν (1 − e^−x) / (ν0 − ν)⁴ up
to a constant. `raman_cross_section` leads to what a spectrometer sees.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.correlation import Correlation
from mimyria.errors import UnitError
from mimyria.frame import Array
from mimyria.spectra.grid import grid_for
from mimyria.spectra.noise import combined_error, ratio_error
from mimyria.spectra.scattering import (
    FORMS,
    N_ANISOTROPIC,
    N_ISOTROPIC,
    RAMAN_UNIT,
    WEIGHTS,
    contract,
    raman_factor,
    stands_out,
)
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import LagWindow

__all__ = [
    "anisotropic_correlation",
    "isotropic_correlation",
    "raman_cross_section",
    "raman_spectra",
]

_NAMES: Final = (
    "raman_iso",
    "raman_aniso",
    "raman_vv",
    "raman_vh",
    "raman_unpolarised",
)


def isotropic_correlation(correlation: Correlation) -> Array:
    """Correlation of the mean polarizability velocity.

    C_iso = <a(0) a(t)>,  a = (α_xx + α_yy + α_zz)/3

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.

    Returns:
        (n_lags,), in the unit of `correlation`.

    Source: docs/theory.md, eq. (5).
    """
    return contract(correlation, FORMS["raman_iso"])


def anisotropic_correlation(correlation: Correlation) -> Array:
    """Correlation of the anisotropy, Placzek's γ².

    C_γ² = (3/2) <Tr β(0) β(t)>,  β = α − a 1

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.

    Returns:
        (n_lags,), in the unit of `correlation`.

    Source: docs/theory.md, eq. (5).
    """
    return contract(correlation, FORMS["raman_aniso"])


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
    grid = grid_for(correlation, window, spacing=spacing)
    iso = grid.cosine(isotropic_correlation(correlation))
    g2 = grid.cosine(anisotropic_correlation(correlation))
    iso_error = grid.theory_error(correlation, N_ISOTROPIC, iso)
    g2_error = grid.theory_error(correlation, N_ANISOTROPIC, g2)

    def spectrum(name: str, values: Array, error: Array, unit: str) -> Spectrum:
        return Spectrum(grid.wavenumbers, values, unit, name, error, window.resolution)

    spectra = {}
    for name in _NAMES:
        a, b = WEIGHTS[name]
        error = combined_error((a, b), iso_error, g2_error)
        spectra[name] = spectrum(name, a * iso + b * g2, error, RAMAN_UNIT)
    ratio, ratio_error = _depolarisation(
        spectra["raman_vv"], iso, g2, iso_error, g2_error
    )
    name = "depolarisation_ratio"
    spectra[name] = spectrum(name, ratio, ratio_error, "1")
    return spectra


def _depolarisation(
    vv: Spectrum, iso: Array, g2: Array, iso_error: Array, g2_error: Array
) -> tuple[Array, Array]:
    """ρ = VH/VV and its error."""
    assert vv.error is not None  # raman_spectra gives one to every spectrum
    meaningful = stands_out(vv.intensity, vv.error)
    safe = np.where(meaningful, vv.intensity, 1.0)
    ratio = np.where(meaningful, g2 / 15 / safe, np.nan)
    error = ratio_error(
        WEIGHTS["raman_vh"], WEIGHTS["raman_vv"], (iso, g2), (iso_error, g2_error)
    )
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
    shifted = spectrum.wavenumbers > 0
    nu = spectrum.wavenumbers[shifted]
    factor = raman_factor("stokes", nu, temperature, laser_wavelength=laser_wavelength)
    return Spectrum(
        nu,
        factor * spectrum.intensity[shifted],
        "cm^2 sr^-1 cm",
        f"{spectrum.name}_cross_section",
        None if spectrum.error is None else factor * spectrum.error[shifted],
        spectrum.resolution,
    )
