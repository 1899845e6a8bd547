"""Groups: disjoint sets of atoms that a spectrum is split into.

A grouping gives every atom one group and one species. Atoms of the same group and the
same species make a cell, the finest set that sums are kept for: groups and species are
both sums of cells. The split is by who moves, not by where the charge is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.probes import Indices, Probes

__all__ = ["Grouping", "Indices", "group_atoms"]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which atom belongs to which group.

    Attributes:
        names: of the groups.
        group: (n_atoms,) — index into `names`.
        species_names: symbols of the species.
        species: (n_atoms,) — index into `species_names`.
        masses: (n_atoms,) amu.
        probes: random-sign probes of the molecules, or None.
    """

    names: tuple[str, ...]
    group: Indices
    species_names: tuple[str, ...]
    species: Indices
    masses: Array
    probes: Probes | None = None

    def __post_init__(self) -> None:
        """Check sizes once."""
        sizes = {len(self.group), len(self.species), len(self.masses)}
        if len(sizes) != 1:
            raise ShapeError(
                "group, species and masses must name the same atoms, but have "
                f"{len(self.group)}, {len(self.species)} and {len(self.masses)}."
            )

    @property
    def total_mass(self) -> float:
        """Mass of all atoms, amu."""
        return float(self.masses.sum())

    @property
    def cells(self) -> tuple[tuple[int, int], ...]:
        """(group, species) of each cell, in rising order."""
        pairs = zip(self.group.tolist(), self.species.tolist(), strict=True)
        return tuple(sorted(set(pairs)))

    def cell_atoms(self) -> list[Indices]:
        """Atoms of each cell, in the order of `cells`."""
        return [
            np.flatnonzero((self.group == group) & (self.species == species))
            for group, species in self.cells
        ]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        probes = {} if self.probes is None else {"probes": self.probes.as_dict()}
        return {
            "names": list(self.names),
            "group": self.group.tolist(),
            "species_names": list(self.species_names),
            "species": self.species.tolist(),
            "masses": self.masses.tolist(),
            **probes,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Grouping:
        """The inverse of `as_dict`.

        Raises:
            FormatError: an entry is missing.
        """
        try:
            return cls(
                tuple(document["names"]),
                np.array(document["group"], np.int64),
                tuple(document["species_names"]),
                np.array(document["species"], np.int64),
                np.array(document["masses"], np.float64),
                Probes.from_dict(document["probes"]) if "probes" in document else None,
            )
        except KeyError as error:
            raise FormatError(
                f"a grouping needs the entry {error}, but has only {sorted(document)}."
            ) from None


def group_atoms(
    labels: Sequence[str], symbols: Sequence[str], masses: Array
) -> Grouping:
    """A grouping from a label for each atom.

    Args:
        labels: name of the group of each atom.
        symbols: chemical symbol of each atom.
        masses: (n_atoms,) amu.

    Raises:
        SettingsError: a name of a group is empty, or holds a slash.
    """
    for label in set(labels):
        if not label or "/" in label:
            raise SettingsError(
                f"a group cannot be named '{label}': a name must not be empty and has "
                "no slash."
            )
    names, group = _numbered(labels)
    species_names, species = _numbered(symbols)
    return Grouping(
        names, group, species_names, species, np.asarray(masses, dtype=np.float64)
    )


def _numbered(labels: Sequence[str]) -> tuple[tuple[str, ...], Indices]:
    """The different labels in rising order, and the place of each one."""
    names = sorted(set(labels))
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places[label] for label in labels], np.int64)
