"""Elements from masses and names, as far as they are certain."""

from __future__ import annotations

from functools import cache
from typing import Final

from ase.data import atomic_masses_iupac2016, atomic_numbers

from mimyria_driver.lammps.elements import MASS_TOLERANCE

__all__ = ["UNKNOWN", "element_named", "element_of_mass", "fits_mass"]

UNKNOWN: Final = "?"
"""Stands for an element that the user has to give; the driver refuses it."""
_DEUTERIUM: Final = ("D", 2.014)
_LIGHT: Final = 20.0  # amu
_NEAR: Final = 0.012
"""amu: rounded masses of light elements are nearer (12.0, 1.0, 16.0), united atoms are
not: CH2 has 14.027, N 14.007; CH4 16.043, O 15.999."""


@cache
def _table() -> dict[str, float]:
    masses = {
        symbol: float(atomic_masses_iupac2016[number])
        for symbol, number in atomic_numbers.items()
        if number > 0
    }
    return {**masses, _DEUTERIUM[0]: _DEUTERIUM[1]}


def element_of_mass(mass: float) -> str | None:
    """The only element of this mass, None where it is not certain.

    Args:
        mass: amu.
    """
    limit = _NEAR if mass < _LIGHT else MASS_TOLERANCE
    near = [name for name, its in _table().items() if abs(its - mass) <= limit]
    return near[0] if len(near) == 1 else None


def element_named(word: str) -> str | None:
    """The element that a word is the symbol of: `O`, `O2`, `Na+`; not `OW`, `CA`."""
    letters = word[: next((k for k, c in enumerate(word) if not c.isalpha()), None)]
    return letters if letters in _table() else None


def fits_mass(symbol: str, mass: float) -> bool:
    """Whether a mass in amu is that of an element, as the driver compares them."""
    return abs(_table().get(symbol, -1.0) - mass) <= MASS_TOLERANCE
