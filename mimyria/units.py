"""Units: the internal ones, and the named factors that lead to them.

Internal units are fixed: Å, fs, e, amu, K, cm⁻¹, and e² a0² Eh⁻¹ (= a0³) for the
polarizability. A conversion happens once, at a boundary (reader, hook, writer), by a
factor from this module. All constants come from CODATA through `scipy.constants`.

| quantity                | unit                 |
|-------------------------|----------------------|
| positions, cell         | Å                    |
| velocities              | Å/fs                 |
| masses                  | amu                  |
| APT, dM_a/dr_b          | e                    |
| PGT, dα_ab/dr_c         | e² a0² Eh⁻¹ Å⁻¹      |
| dipole velocity         | e Å/fs               |
| polarizability velocity | e² a0² Eh⁻¹ fs⁻¹     |
"""

from __future__ import annotations

import math
from typing import Final

from scipy import constants as codata

__all__ = [
    "ALPHA_UNIT",
    "ANGSTROM_PER_BOHR",
    "ANGSTROM_PER_IPI_BOHR",
    "APT_UNIT",
    "BOHR_PER_ANGSTROM",
    "BOLTZMANN",
    "CONDUCTIVITY_CONSTANT",
    "DIELECTRIC_CONSTANT",
    "DIPOLE_CORRELATION_UNIT",
    "DIPOLE_VELOCITY_UNIT",
    "EV_PER_HARTREE",
    "E_ANGSTROM_PER_DEBYE",
    "FSUM_CONSTANT",
    "FS_PER_ASE_TIME",
    "FS_PER_ATOMIC_TIME",
    "FS_PER_IPI_TIME",
    "HARTREE_PER_KELVIN",
    "HC_OVER_KB",
    "IR_CONSTANT",
    "LAMMPS_UNITS",
    "MOLAR_VOLUME_FACTOR",
    "NAPERIAN_MOLAR_CONSTANT",
    "PGT_UNIT",
    "POLARIZABILITY_CORRELATION_UNIT",
    "POLARIZABILITY_VELOCITY_UNIT",
    "RAMAN_CONSTANT",
    "SPEED_OF_LIGHT",
    "VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD",
    "angular_frequency",
    "nyquist_wavenumber",
]

# Names of units as they stand in files.
APT_UNIT: Final = "e"
PGT_UNIT: Final = "e^2 a0^2 Eh^-1 Angstrom^-1"
ALPHA_UNIT: Final = "e^2 a0^2 Eh^-1"
DIPOLE_VELOCITY_UNIT: Final = "e Angstrom fs^-1"
POLARIZABILITY_VELOCITY_UNIT: Final = "e^2 a0^2 Eh^-1 fs^-1"
DIPOLE_CORRELATION_UNIT: Final = "e^2 Angstrom^2 fs^-2"
POLARIZABILITY_CORRELATION_UNIT: Final = "e^4 a0^4 Eh^-2 fs^-2"

_BOHR_M: Final = codata.physical_constants["Bohr radius"][0]
_ATOMIC_TIME_S: Final = codata.physical_constants["atomic unit of time"][0]

ANGSTROM_PER_BOHR: Final = _BOHR_M * 1e10
BOHR_PER_ANGSTROM: Final = 1.0 / ANGSTROM_PER_BOHR
FS_PER_ATOMIC_TIME: Final = _ATOMIC_TIME_S * 1e15
EV_PER_HARTREE: Final = codata.physical_constants["Hartree energy in eV"][0]
# A debye is 1e-18 statC cm, that is 1e-21/c C m.
E_ANGSTROM_PER_DEBYE: Final = 1e-21 / codata.c / codata.e * 1e10
VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD: Final = EV_PER_HARTREE * BOHR_PER_ANGSTROM
HARTREE_PER_KELVIN: Final = codata.physical_constants["kelvin-hartree relationship"][0]
# i-PI's own constant. With CODATA's value the velocities of NVE runs would be off by
# 3.8e-8, which is more than central differences are.
FS_PER_IPI_TIME: Final = 1.0 / 41.341373
# Likewise: an Å in i-PI's input must come back as the same Å.
ANGSTROM_PER_IPI_BOHR: Final = 1.0 / 1.8897261
# Å √(u/eV), the time of ASE and TorchSim, by the constants of both (CODATA 2014), so
# that 0.5 fs of theirs come back as 0.5 fs.
FS_PER_ASE_TIME: Final = 1e5 * math.sqrt(1.660539040e-27 / 1.6021766208e-19)

# Length and time of 1 Å and 1 fs in each unit style, as LAMMPS itself says them (its
# globals `angstrom` and `femtosecond`), with its own bohr. Velocities are the one over
# the other in every style, for `electron` too, whose manual says otherwise.
LAMMPS_UNITS: Final = {
    "real": (1.0, 1.0),
    "metal": (1.0, 1e-3),
    "electron": (1.88972612, 1.0),
    "si": (1e-10, 1e-15),
    "cgs": (1e-8, 1e-15),
    "micro": (1e-4, 1e-9),
    "nano": (0.1, 1e-6),
}

SPEED_OF_LIGHT: Final = codata.c * 1e2 * 1e-15
"""Speed of light in cm/fs."""

BOLTZMANN: Final = codata.k / codata.atomic_mass * 1e-10
"""Boltzmann constant in amu Å² fs⁻² K⁻¹."""

HC_OVER_KB: Final = codata.h * codata.c / codata.k * 1e2
"""h c / k_B in cm K: x = HC_OVER_KB ν / T is the reduced photon energy."""

IR_CONSTANT: Final = 1e23 * codata.e**2 / (6 * codata.epsilon_0 * codata.c * codata.k)
"""K_IR in cm⁻¹ Å³ K per e² Å² fs⁻¹ of the two-sided spectrum of <J(0)·J(t)>.

α(ν) n(ν) = K_IR / (V T) S(ν), with C summed over x, y, z and S its two-sided transform.
Source: linear response with conducting boundaries, docs/theory.md, eq. (4).
"""

FSUM_CONSTANT: Final = IR_CONSTANT * BOLTZMANN / (2 * SPEED_OF_LIGHT)
"""∫ αn dν = FSUM_CONSTANT Σ‖P‖²/m / V in cm⁻² Å³ amu e⁻²."""

DIELECTRIC_CONSTANT: Final = 1e10 * codata.e**2 / (3 * codata.epsilon_0 * codata.k)
"""K_ε in Å³ K per e² Å²; ε(ω) = ε_∞ + i K_ε / (V T ω) ∫ C e^{iωt} dt over 0 … ∞."""

MOLAR_VOLUME_FACTOR: Final = 1e-27 * codata.N_A
"""Litres in an Å³ times Avogadro's number: V N_A for V in Å³ in L/mol."""

NAPERIAN_MOLAR_CONSTANT: Final = 1e-29 * IR_CONSTANT * codata.N_A
"""K_IR N_A in cm km mol⁻¹ K per e² Å² fs⁻¹ (an Å³ is 1e-24 cm³, a cm is 1e-5 km)."""

CONDUCTIVITY_CONSTANT: Final = 1e2 * codata.epsilon_0 * codata.c
"""ε0 c in S/m per cm⁻¹ of α n."""

RAMAN_CONSTANT: Final = (
    4 * math.pi**2 * (codata.h / codata.k) * (_BOHR_M * 1e2) ** 6 * 1e15
)
"""K_R in cm⁶ K per a0⁶ fs⁻¹, the prefactor of the absolute Raman cross section."""


def angular_frequency(wavenumber: float) -> float:
    """Angular frequency in rad/fs of a wavenumber in cm⁻¹: ω = 2π c ν."""
    return 2 * math.pi * SPEED_OF_LIGHT * wavenumber


def nyquist_wavenumber(interval: float) -> float:
    """Highest wavenumber in cm⁻¹ that samples every `interval` fs can hold."""
    return 1.0 / (2 * SPEED_OF_LIGHT * interval)
