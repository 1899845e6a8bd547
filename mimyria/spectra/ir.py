"""IR absorption from the correlation of the dipole velocity."""

from __future__ import annotations

from mimyria.correlation import Correlation
from mimyria.spectra.dielectric import N_COMPONENTS, Cell, absorption_times_index
from mimyria.spectra.grid import grid_for
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import LagWindow

__all__ = ["ir_absorption"]


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
    grid = grid_for(correlation, window, spacing=spacing)
    intensity = absorption_times_index(correlation, grid, Cell(volume, temperature))
    return Spectrum(
        grid.wavenumbers,
        intensity,
        "cm^-1",
        "ir",
        grid.theory_error(correlation, N_COMPONENTS, intensity),
        window.resolution,
    )
