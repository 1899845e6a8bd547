"""Dielectric function and every optical quantity that follows from it.

All are functions of the correlation of the dipole velocity, on a `Grid`. The real part
of ε comes from the sine transform of the same windowed correlation whose cosine
transform gives the imaginary part, so no Kramers–Kronig integral over a truncated grid
is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError, UnitError
from mimyria.frame import Array
from mimyria.spectra.grid import Grid
from mimyria.units import (
    ANGSTROM_PER_BOHR,
    CONDUCTIVITY_CONSTANT,
    DIELECTRIC_CONSTANT,
    DIPOLE_CORRELATION_UNIT,
    IR_CONSTANT,
    MOLAR_VOLUME_FACTOR,
    NAPERIAN_MOLAR_CONSTANT,
)

__all__ = [
    "N_COMPONENTS",
    "Cell",
    "absorption",
    "absorption_times_index",
    "conductivity",
    "directional_imaginary",
    "eps_inf_from_polarizability",
    "imaginary_permittivity",
    "molar_absorption",
    "naperian_molar",
    "permittivity",
    "refractive_index",
]

N_COMPONENTS: Final = 3  # of the dipole
_AXES: Final = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True, slots=True)
class Cell:
    """What turns a correlation into an intensive quantity.

    Attributes:
        volume: volume V of the cell, Å³.
        temperature: temperature T of the ensemble, K.
        eps_inf: electronic permittivity, or None where it is not known.
        n_molecules: molecules that a molar quantity is referred to, or None.
    """

    volume: float
    temperature: float
    eps_inf: float | None = None
    n_molecules: float | None = None

    def __post_init__(self) -> None:
        """Check values once."""
        for name in ("volume", "temperature", "n_molecules"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} must be above 0, but is {value}.")
        if self.eps_inf is not None and not self.eps_inf >= 1:
            raise SettingsError(
                f"eps_inf must be at least 1, but is {self.eps_inf}; water has 1.78."
            )

    @property
    def known_eps_inf(self) -> float:
        """`eps_inf`, or an error that says what to give."""
        if self.eps_inf is None:
            raise SettingsError(
                "this quantity needs the electronic permittivity eps_inf (water: 1.78)."
                " Give it, or ask for α·n, which does not need it."
            )
        return self.eps_inf

    @property
    def known_molecules(self) -> float:
        """`n_molecules`, or an error that says what to give."""
        if self.n_molecules is None:
            raise SettingsError(
                "a molar quantity needs the number of molecules in the cell, but "
                "none is given."
            )
        return self.n_molecules


def eps_inf_from_polarizability(polarizability: Array, volume: float) -> float:
    """Electronic permittivity ε_∞ = 1 + 4π Tr⟨α⟩ / (3 V).

    Args:
        polarizability: (3, 3) e² a0² Eh⁻¹ (= a0³) — mean response of the whole cell to
            the macroscopic field, as periodic finite-field calculations give it.
        volume: Å³.

    Source: docs/theory.md, eq. (13).
    """
    trace = float(np.trace(np.asarray(polarizability)))
    volume_bohr = volume / ANGSTROM_PER_BOHR**3
    return 1.0 + 4.0 * math.pi * trace / (3.0 * volume_bohr)


def absorption_times_index(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """α n in cm⁻¹: Naperian absorption coefficient times refractive index.

    Source: docs/theory.md, eq. (4).
    """
    prefactor = IR_CONSTANT / (cell.volume * cell.temperature)
    return prefactor * grid.cosine(_dot_product(correlation))


def permittivity(
    correlation: Correlation, grid: Grid, cell: Cell
) -> NDArray[np.complex128]:
    """Complex relative permittivity ε = ε' + i ε''.

    ε(ω) = ε_∞ + i K_ε / (V T ω) ∫ C(t) e^{iωt} dt  over 0 … ∞

    Args:
        correlation: of the dipole velocity.
        grid: wavenumbers above zero.
        cell: with `eps_inf`.

    Source: docs/theory.md, eq. (11).
    """
    dot_product = _dot_product(correlation)
    omega = _above_zero(grid)
    scale = DIELECTRIC_CONSTANT / (cell.volume * cell.temperature * omega)
    real = cell.known_eps_inf - scale * grid.sine(dot_product)
    imaginary = scale * 0.5 * grid.cosine(dot_product)
    result: NDArray[np.complex128] = real + 1j * imaginary
    return result


def imaginary_permittivity(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """ε'' alone; it needs no ε_∞.

    Source: docs/theory.md, eq. (11).
    """
    scale = DIELECTRIC_CONSTANT / (cell.volume * cell.temperature * _above_zero(grid))
    imaginary: Array = scale * 0.5 * grid.cosine(_dot_product(correlation))
    return imaginary


def refractive_index(
    correlation: Correlation, grid: Grid, cell: Cell
) -> NDArray[np.complex128]:
    """Complex refractive index n + i κ = √ε, the root with n ≥ 0.

    Source: docs/theory.md, eq. (14).
    """
    root: NDArray[np.complex128] = np.sqrt(permittivity(correlation, grid, cell))
    return root


def absorption(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """Naperian absorption coefficient α = 4π κ ν, cm⁻¹.

    Source: docs/theory.md, eq. (14).
    """
    kappa = refractive_index(correlation, grid, cell).imag
    result: Array = 4.0 * np.pi * kappa * grid.wavenumbers
    return result


def molar_absorption(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """Molar decadic absorption coefficient α V N_A / (ln 10 N), L mol⁻¹ cm⁻¹.

    Source: docs/theory.md, eq. (15).
    """
    factor = MOLAR_VOLUME_FACTOR * cell.volume / cell.known_molecules
    return factor / math.log(10.0) * absorption(correlation, grid, cell)


def naperian_molar(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """Naperian molar α n V N_A / N in cm km mol⁻¹; its integral over ν is in km/mol.

    Source: docs/theory.md, eq. (15).
    """
    factor = NAPERIAN_MOLAR_CONSTANT / (cell.temperature * cell.known_molecules)
    return factor * grid.cosine(_dot_product(correlation))


def conductivity(correlation: Correlation, grid: Grid, cell: Cell) -> Array:
    """Real part of the conductivity, ε0 ω ε'' = ε0 c α n, in S/m.

    Source: docs/theory.md, eq. (16).
    """
    return CONDUCTIVITY_CONSTANT * absorption_times_index(correlation, grid, cell)


def directional_imaginary(
    correlation: Correlation, grid: Grid, cell: Cell, axes: str
) -> Array:
    """ε''_ab of a crystal or a slab; the mean of xx, yy and zz is ε''.

    Args:
        correlation: of the dipole velocity, with the pair `axes`.
        grid: wavenumbers above zero.
        cell: volume of the cell, or of the slab alone.
        axes: two of x, y, z, such as "xy"; off the diagonal it may be negative.

    Source: docs/theory.md, eq. (11).
    """
    _check_unit(correlation)
    if len(axes) != 2 or not set(axes) <= set(_AXES):
        raise SettingsError(f"axes must be two of x, y, z, such as 'xy', not '{axes}'.")
    values = correlation.column(*(_AXES[axis] for axis in axes))
    scale = DIELECTRIC_CONSTANT / (cell.volume * cell.temperature * _above_zero(grid))
    imaginary: Array = N_COMPONENTS * scale * 0.5 * grid.cosine(values)
    return imaginary


def _dot_product(correlation: Correlation) -> Array:
    """⟨J(0)·J(t)⟩ from the columns xx, yy, zz."""
    _check_unit(correlation)
    return np.asarray(sum(correlation.column(a, a) for a in range(N_COMPONENTS)))


def _check_unit(correlation: Correlation) -> None:
    if correlation.unit != DIPOLE_CORRELATION_UNIT:
        raise UnitError(
            f"the IR needs a correlation in {DIPOLE_CORRELATION_UNIT}, but this one "
            f"is in {correlation.unit}. Is it the polarizability's?"
        )


def _above_zero(grid: Grid) -> Array:
    omega = grid.angular_frequencies
    if not omega.min() > 0:
        raise SettingsError(
            "the permittivity of a conductor diverges at 0 cm⁻¹; begin the grid above."
        )
    return omega
