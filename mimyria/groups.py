"""Groups: sets of atoms that a spectrum is split into.

A grouping gives every atom one group and one species. Atoms of the same group and the
same species make a cell, the finest set that sums are kept for: groups and species are
both sums of cells. An atom counts in a cell with a weight; it is 1, but where groups
are shells, molecules are shared between these and the weights change from frame to
frame. The weights of an atom add up to 1. The split is by who moves, not by where the
charge is. Where groups are motions, every atom is in each of them with another part of
its velocity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.motions import Motions
from mimyria.probes import Indices, Probes
from mimyria.shells import Shells

__all__ = ["FIRST_SHELL", "Grouping", "Indices", "group_atoms"]

FIRST_SHELL: Final = 1
"""Index of the group of the first shell; the group before it is the solute."""


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """Which atom belongs to which group.

    Attributes:
        names: of the groups.
        group: (n_atoms,) — index into `names`; `FIRST_SHELL` for all shells together.
        species_names: symbols of the species.
        species: (n_atoms,) — index into `species_names`.
        masses: (n_atoms,) amu.
        probes: random-sign probes of the molecules, or None.
        shells: what shares the molecules between the last groups, or None.
        motions: what splits the velocities between the groups, or None.
        velocity_probes: random-sign probes of the velocities, in which each atom of an
            element has its own number, or None.
        cells: (group, species) of each cell, in rising order; follows from the rest.
        atoms: of each cell, those that may count in it; likewise.
        members: atoms of each species; likewise.
    """

    names: tuple[str, ...]
    group: Indices
    species_names: tuple[str, ...]
    species: Indices
    masses: Array
    probes: Probes | None = None
    shells: Shells | None = None
    velocity_probes: Probes | None = None
    motions: Motions | None = None
    cells: tuple[tuple[int, int], ...] = field(init=False)
    atoms: tuple[Indices, ...] = field(init=False)
    members: tuple[Indices, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check sizes once, and find the cells, which every frame asks for."""
        sizes = {len(self.group), len(self.species), len(self.masses)}
        if len(sizes) != 1:
            raise ShapeError(
                "group, species and masses must name the same atoms, but have "
                f"{len(self.group)}, {len(self.species)} and {len(self.masses)}."
            )
        for name, value in (
            ("cells", self._find_cells()),
            ("atoms", self._find_atoms()),
            ("members", self._find_members()),
        ):
            object.__setattr__(self, name, value)

    @property
    def total_mass(self) -> float:
        """Mass of all atoms, amu."""
        return float(self.masses.sum())

    def velocities(self, frame: Frame) -> list[Array]:
        """(n_atoms, 3) Å/fs each — those of each motion, or those of the frame alone.

        The sum is the velocity; a cell takes what belongs to its group.
        """
        assert frame.velocities is not None
        if self.motions is None:
            return [frame.velocities]
        return list(self.motions.split(frame, self.masses))

    def memberships(self, frame: Frame) -> list[tuple[Indices, Array]]:
        """Atoms of each cell and their weights in one frame, in the order of `cells`.

        Source: docs/theory.md, eq. (40) and docs/theory.md, eq. (49).
        """
        pairs = zip(self.cells, self.atoms, strict=True)
        if self.shells is None:
            return [(atoms, np.ones(len(atoms))) for _, atoms in pairs]
        shares = self.shells.weights(frame, self.masses)
        return [
            (atoms, np.ones(len(atoms)))
            if group < FIRST_SHELL
            else (atoms, shares[group - FIRST_SHELL, atoms])
            for (group, _), atoms in pairs
        ]

    def _find_cells(self) -> tuple[tuple[int, int], ...]:
        pairs = set(zip(self.group.tolist(), self.species.tolist(), strict=True))
        if self.shells is not None:
            pairs |= {
                (FIRST_SHELL + shell, species)
                for group, species in pairs
                for shell in range(self.shells.n_shells)
                if group == FIRST_SHELL
            }
        if self.motions is not None:
            species = {species for _, species in pairs}
            pairs = {(group, s) for group in range(len(self.names)) for s in species}
        return tuple(sorted(pairs))

    def _find_atoms(self) -> tuple[Indices, ...]:
        cells = self._find_cells()
        if self.shells is not None:
            cells = tuple((min(group, FIRST_SHELL), s) for group, s in cells)
        if self.motions is not None:
            cells = tuple((0, species) for _, species in cells)
        return tuple(
            np.flatnonzero((self.group == group) & (self.species == species))
            for group, species in cells
        )

    def _find_members(self) -> tuple[Indices, ...]:
        return tuple(
            np.flatnonzero(self.species == index)
            for index in range(len(self.species_names))
        )

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        probes = {} if self.probes is None else {"probes": self.probes.as_dict()}
        shells = {} if self.shells is None else {"shells": self.shells.as_dict()}
        motions = {} if self.motions is None else {"motions": self.motions.as_dict()}
        velocities = (
            {}
            if self.velocity_probes is None
            else {"velocity_probes": self.velocity_probes.as_dict()}
        )
        return {
            "names": list(self.names),
            "group": self.group.tolist(),
            "species_names": list(self.species_names),
            "species": self.species.tolist(),
            "masses": self.masses.tolist(),
            **probes,
            **shells,
            **motions,
            **velocities,
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
                Shells.from_dict(document["shells"]) if "shells" in document else None,
                Probes.from_dict(document["velocity_probes"])
                if "velocity_probes" in document
                else None,
                Motions.from_dict(document["motions"])
                if "motions" in document
                else None,
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
