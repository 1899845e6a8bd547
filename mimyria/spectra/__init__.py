"""Spectra: from time correlation functions to IR, Raman and velocity spectra.

Pure functions from `Correlation` to `Spectrum`; nothing here knows a file or a network.
"""

from mimyria.spectra.analysis import compute_spectra
from mimyria.spectra.catalogue import QUANTITIES, Conditions, Quantity
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.ir import ir_absorption
from mimyria.spectra.peaks import Band, find_band, find_bands
from mimyria.spectra.porto import Geometry, parse_geometry
from mimyria.spectra.quantities import compute_quantities, geometry_spectra
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
    "QUANTITIES",
    "WINDOWS",
    "Band",
    "Cell",
    "Conditions",
    "Geometry",
    "LagWindow",
    "Quantity",
    "Spectrum",
    "anisotropic_correlation",
    "compute_quantities",
    "compute_spectra",
    "find_band",
    "find_bands",
    "finest_resolution",
    "geometry_spectra",
    "ir_absorption",
    "isotropic_correlation",
    "lags_for_resolution",
    "mass_weighted",
    "no_window",
    "parse_geometry",
    "raman_cross_section",
    "raman_spectra",
    "velocity_correlator",
    "velocity_spectrum",
    "window_for_resolution",
    "window_of_length",
]
