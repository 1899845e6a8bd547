"""mimyria: IR and Raman spectra from molecular dynamics, on the fly."""

from mimyria.currents import Currents, currents, dipole_velocity
from mimyria.currents import polarizability_velocity as polarizability_velocity
from mimyria.errors import MimyriaError
from mimyria.frame import Frame
from mimyria.tensors import Tensors

__all__ = [
    "Currents",
    "Frame",
    "MimyriaError",
    "Tensors",
    "__version__",
    "currents",
    "dipole_velocity",
    "polarizability_velocity",
]

__version__ = "0.1.0"
