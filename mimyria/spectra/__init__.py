"""Spectra: from time correlation functions to IR, Raman and velocity spectra.

Pure functions from `Correlation` to `Spectrum`; nothing here knows a file or a network.
"""

from mimyria.spectra.analysis import compute_spectra
from mimyria.spectra.ir import ir_absorption
from mimyria.spectra.peaks import Band, find_band, find_bands
from mimyria.spectra.raman import (
    anisotropic_correlation,
    isotropic_correlation,
    raman_cross_section,
    raman_spectra,
)
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.vdos import mass_weighted, velocity_correlator, velocity_spectrum
from mimyria.spectra.windows import (
    WINDOWS,
    LagWindow,
    finest_resolution,
    lags_for_resolution,
    no_window,
    window_for_resolution,
    window_of_length,
)

__all__ = [
    "WINDOWS",
    "Band",
    "LagWindow",
    "Spectrum",
    "anisotropic_correlation",
    "compute_spectra",
    "find_band",
    "find_bands",
    "finest_resolution",
    "ir_absorption",
    "isotropic_correlation",
    "lags_for_resolution",
    "mass_weighted",
    "no_window",
    "raman_cross_section",
    "raman_spectra",
    "velocity_correlator",
    "velocity_spectrum",
    "window_for_resolution",
    "window_of_length",
]
