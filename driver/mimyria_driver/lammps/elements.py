"""Elements of atom types: LAMMPS knows numbers of types only, and masses to check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from mimyria.errors import FrameError
from mimyria.frame import Array

__all__ = ["MASS_TOLERANCE", "is_element", "numbers_of"]

MASS_TOLERANCE: Final = 0.1
"""How far a mass may be from that of its element, amu; catches types in wrong order."""
_DEUTERIUM: Final = ("D", 1, 2.014)


def numbers_of(
    types: NDArray[np.int64],
    elements: Mapping[int, str],
    masses: Array | None,
    *,
    given_to: str = "the hook was given",
) -> tuple[NDArray[np.int64], Array]:
    """Atomic numbers by type, checked against the masses.

    Args:
        types: (n_atoms,) — from 1.
        elements: symbol of each type; D is deuterium.
        masses: (n_atoms,) amu, or None where they are not known.
        given_to: who was told the elements, for people.

    Returns:
        (n_atoms,) atomic numbers, and (n_atoms,) amu — the masses, or without them
        those of the elements.

    Raises:
        FrameError: a type has no element, or a mass is not that of its element.
    """
    for kind in np.unique(types).tolist():
        if kind not in elements:
            raise FrameError(
                f"The run has atoms of type {kind}, but {given_to} {len(elements)} "
                f"elements ({' '.join(elements.values())}). Name one for each type."
            )
    known = {kind: _element(symbol) for kind, symbol in elements.items()}
    numbers = np.array([known[kind][0] for kind in types.tolist()], np.int64)
    expected = np.array([known[kind][1] for kind in types.tolist()])
    if masses is None:
        return numbers, expected
    wrong = np.flatnonzero(~(np.abs(masses - expected) <= MASS_TOLERANCE))
    if len(wrong):
        first = wrong[np.argmin(types[wrong])]
        kind = int(types[first])
        raise FrameError(
            f"Atoms of type {kind} have the mass {masses[first]:g}, but "
            f"{elements[kind]} has {expected[first]:.3f} amu. Give the elements "
            "in the order of the atom types."
        )
    return numbers, masses


def is_element(symbol: str) -> bool:
    """Whether it is a symbol that a type can have."""
    return symbol == _DEUTERIUM[0] or atomic_numbers.get(symbol, 0) > 0


def _element(symbol: str) -> tuple[int, float]:
    """Atomic number, and mass in amu."""
    if symbol == _DEUTERIUM[0]:
        return _DEUTERIUM[1:]
    number = atomic_numbers.get(symbol, 0)
    if number == 0:
        raise FrameError(
            f"'{symbol}' is no chemical element. Give one symbol for each "
            'atom type, in order, as in "O H".'
        )
    return number, float(atomic_masses[number])
