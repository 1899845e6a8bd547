"""All spectra of a run from its correlations, with one window and one grid."""

from __future__ import annotations

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError
from mimyria.spectra.ir import ir_absorption
from mimyria.spectra.raman import raman_spectra
from mimyria.spectra.replicates import with_errors
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import (
    LagWindow,
    grid_spacing,
    window_for_resolution,
)

__all__ = ["compute_spectra"]


def compute_spectra(
    dipole: Correlation | None,
    polarizability: Correlation | None,
    *,
    volume: float,
    temperature: float,
    resolution: float = 10.0,
    window: str = "gaussian",
    max_wavenumber: float = 4500.0,
) -> dict[str, Spectrum]:
    """IR and Raman spectra with statistical errors.

    Errors come from the blocks of the correlations by the jackknife; while these are
    too few, they are those of theory (`Spectrum.error_kind` says which).

    Args:
        dipole: correlation of the dipole velocity, or None.
        polarizability: correlation of the polarizability velocity, or None.
        volume: volume of the cell, Å³.
        temperature: temperature of the ensemble, K.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        window: key of `windows.WINDOWS`.
        max_wavenumber: end of the spectra, cm⁻¹; they also end at Nyquist.

    Returns:
        `ir` if there is a dipole correlation; `raman_iso`, `raman_aniso`, `raman_vv`,
        `raman_vh`, `raman_unpolarised` and `depolarisation_ratio` if there is one of
        the polarizability. Grid points are at most an eighth of the resolution apart.

    Raises:
        SettingsError: the lags are too few for the resolution (the text says how many
            are needed), or there is no correlation at all.
    """
    if dipole is None and polarizability is None:
        raise SettingsError("spectra need at least one correlation, but both are None.")
    spacing = grid_spacing(resolution)

    def lag_window(correlation: Correlation) -> LagWindow:
        return window_for_resolution(
            window, resolution, correlation.n_lags, correlation.interval
        )

    def infrared(correlation: Correlation) -> dict[str, Spectrum]:
        spectrum = ir_absorption(
            correlation,
            volume=volume,
            temperature=temperature,
            window=lag_window(correlation),
            spacing=spacing,
        )
        return {"ir": spectrum.between(0.0, max_wavenumber)}

    def raman(correlation: Correlation) -> dict[str, Spectrum]:
        found = raman_spectra(
            correlation, window=lag_window(correlation), spacing=spacing
        )
        return {name: s.between(0.0, max_wavenumber) for name, s in found.items()}

    spectra: dict[str, Spectrum] = {}
    for compute, correlation in ((infrared, dipole), (raman, polarizability)):
        if correlation is not None:
            spectra |= with_errors(compute, correlation, lag_window(correlation))
    return spectra
