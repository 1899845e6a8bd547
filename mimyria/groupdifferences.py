"""Group differences: whether two runs mean the same by the groups of their atoms.

Names say little: shells of other borders, bonds that part other molecules and
selections of other atoms may all be called the same. Compared is who belongs to which
group; how well self terms were measured (probes) is no part of that, nor is the tree of
bonds that puts a molecule together, since every tree gives the same centre of mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mimyria.groups import Grouping, Indices
from mimyria.shells import Shells

__all__ = ["group_difference"]

_SAME_MASS: Final = 0.01
"""Engines round the masses of elements; isotopes differ by more than that."""


def group_difference(one: Grouping, other: Grouping) -> str | None:
    """The first difference in words, as "X and Y" in this order; None if there is none.

    Atoms are counted from 0.
    """
    if len(one.group) != len(other.group):
        return f"they have {len(one.group)} and {len(other.group)} atoms"
    found = _first(_labels(one, "species"), _labels(other, "species"))
    if found is not None:
        return "atom {} is {} and {}".format(*found)
    far = np.abs(one.masses - other.masses) > _SAME_MASS * one.masses
    if far.any():
        atom = int(np.argmax(far))
        masses = f"{one.masses[atom]:g} and {other.masses[atom]:g}"
        return f"the mass of atom {atom} is {masses} amu"
    found = _first(_labels(one, "group"), _labels(other, "group"))
    if found is not None:
        return "atom {} is in '{}' and in '{}'".format(*found)
    found = _first(_molecules(one), _molecules(other))
    if found is not None:
        return "atom {} belongs to molecule {} and {}: bonds differ".format(*found)
    return _shell_difference(one.shells, other.shells)


def _shell_difference(one: Shells | None, other: Shells | None) -> str | None:
    if one is None or other is None:
        if one is other:
            return None
        return "one has shells whose members change, the other has not"
    if not np.array_equal(one.centres, other.centres):
        return (
            f"shells lie around the atoms {_some(one.centres)} and "
            f"{_some(other.centres)}"
        )
    if one.borders != other.borders:
        borders = [", ".join(f"{b:g}" for b in each.borders) for each in (one, other)]
        return f"the shells end at {borders[0]} and {borders[1]} Å"
    if one.width != other.width:
        return f"the borders of the shells are {one.width:g} and {other.width:g} Å wide"
    return None


def _labels(grouping: Grouping, what: str) -> list[str]:
    """The name of the species, or of the group, of each atom."""
    names = grouping.species_names if what == "species" else grouping.names
    index: Indices = getattr(grouping, what)
    return [names[place] for place in index.tolist()]


def _molecules(grouping: Grouping) -> list[int]:
    """Molecule of each atom where these are a part of the definition."""
    for owner in (grouping.shells, grouping.motions, grouping.probes):
        if owner is not None:
            molecules: list[int] = owner.molecule.tolist()
            return molecules
    return []


def _first(
    one: Sequence[str | int], other: Sequence[str | int]
) -> tuple[int, str | int, str | int] | None:
    """The first atom that is another thing, and what it is in both."""
    for atom, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return atom, mine, theirs
    return None


def _some(atoms: Indices) -> str:
    names = [str(atom) for atom in atoms[:4].tolist()]
    return ", ".join(names) + (" …" if len(atoms) > 4 else "")
