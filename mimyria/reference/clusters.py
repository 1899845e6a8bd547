"""Clusters: molecules cut out of a periodic frame with all that is near them.

A code without periodic cells computes the cluster; only the tensors of its central
molecule, which has all of its neighbours, become labels. This module knows frames; it
knows no code, no field and no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from mimyria.errors import SettingsError
from mimyria.frame import Array, Frame
from mimyria.images import completed
from mimyria.molecules import BOND_FACTOR, molecule_formulas, whole_molecules
from mimyria.reference.clustersettings import ClusterSettings

__all__ = ["Cluster", "cut_cluster", "sample_clusters"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cluster:
    """A molecule and all molecules near it, without periodic cell.

    Attributes:
        frame: the central molecule first, with the mean of its atoms at the origin;
            then the others, the nearest first. No cell, no velocities; step and replica
            of the frame it was cut from.
        mask: (n_atoms,) — the atoms of the central molecule, which are to be labelled.
        atoms: (n_atoms,) — atom of the frame it was cut from that each is an image of.
        molecule: number of the central molecule in that frame.
        source: number of that frame in its file.
        radius: Å — see `ClusterSettings`.
        charge: e — of all molecules together.
        volume: Å³ — what so many atoms take in the frame it was cut from, for
            `localfield.field_inside`; None if that frame has no volume.
    """

    frame: Frame
    mask: NDArray[np.bool_]
    atoms: Indices
    molecule: int
    source: int
    radius: float
    charge: int
    volume: float | None

    def info(self) -> dict[str, Any]:
        """Where it comes from, for the comment line of a file."""
        return {
            "cluster_frame": self.source,
            "cluster_molecule": self.molecule,
            "cluster_radius": self.radius,
            "cluster_atoms": self.atoms,
            "charge": self.charge,
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Parent:
    """A frame with its molecules put together, found once for all of its clusters."""

    frame: Frame
    molecule: Indices  # (n_atoms,)
    positions: Array  # (n_atoms, 3) Å, no molecule cut by the borders of the cell
    formulas: tuple[str, ...]  # of each molecule
    source: int

    def atoms_of(self, molecule: int) -> Indices:
        return np.flatnonzero(self.molecule == molecule)


def sample_clusters(
    frame: Frame, source: int, settings: ClusterSettings
) -> tuple[Cluster, ...]:
    """Cut clusters around molecules that are drawn at random.

    The draw depends on the seed and the number of the frame alone, so that frames may
    be added or left out without a change of the others' clusters.

    Args:
        frame: a whole configuration.
        source: its number in its file.
        settings: which molecules, how many, how large.

    Raises:
        SettingsError: the frame has no molecule of a wanted formula.
        FrameError: a molecule is bonded to its own image.
    """
    parent = _parent(frame, source, settings.bond_factor)
    rng = np.random.default_rng([settings.seed, source])
    chosen: list[int] = []
    for formula in settings.formulas or sorted(set(parent.formulas)):
        same = [k for k, found in enumerate(parent.formulas) if found == formula]
        if not same:
            raise SettingsError(
                f"clusters.molecules names {formula}, but frame {source} has only "
                f"{', '.join(sorted(set(parent.formulas)))}."
            )
        count = min(settings.per_frame, len(same))
        chosen += sorted(rng.choice(same, count, replace=False).tolist())
    return tuple(
        _cut(parent, molecule, settings.radius, settings.charge_of)
        for molecule in chosen
    )


def cut_cluster(
    frame: Frame,
    molecule: int,
    radius: float,
    *,
    charges: Mapping[str, int] | None = None,
    bond_factor: float = BOND_FACTOR,
    source: int = 0,
) -> Cluster:
    """Cut one cluster around a given molecule.

    Args:
        frame: a whole configuration; its cell may be of any shape, smaller than the
            cluster as well.
        molecule: number of the central molecule, as `find_molecules` counts.
        radius: Å — molecules with any atom closer than this to any atom of the central
            one belong to the cluster, as often as they have images there.
        charges: charge in e by formula in Hill's order; others are neutral.
        bond_factor: longest bond in units of the sum of covalent radii.
        source: number of the frame in its file.

    Raises:
        SettingsError: there is no such molecule.
        FrameError: a molecule is bonded to its own image.
    """
    parent = _parent(frame, source, bond_factor)
    if not 0 <= molecule < len(parent.formulas):
        raise SettingsError(
            f"the central molecule must lie between 0 and {len(parent.formulas) - 1}, "
            f"but is {molecule}."
        )
    return _cut(parent, molecule, radius, charges or {})


def _parent(frame: Frame, source: int, bond_factor: float) -> _Parent:
    frame.require_finite()
    molecule, positions = whole_molecules(frame, bond_factor)
    formulas = molecule_formulas(frame.numbers, molecule)
    return _Parent(frame, molecule, positions, formulas, source)


def _cut(
    parent: _Parent, central: int, radius: float, charges: Mapping[str, int]
) -> Cluster:
    own = parent.atoms_of(central)
    members = [(central, np.zeros(3)), *_neighbours(parent, central, radius)]
    groups = [parent.atoms_of(molecule) for molecule, _ in members]
    atoms = np.concatenate(groups)
    centre = parent.positions[own].mean(axis=0)
    positions = np.concatenate(
        [
            parent.positions[group] + offset - centre
            for group, (_, offset) in zip(groups, members, strict=True)
        ]
    )
    frame = Frame(
        parent.frame.numbers[atoms],
        positions,
        np.zeros((3, 3)),
        None,
        parent.frame.step,
        parent.frame.replica,
        (False, False, False),
    )
    charge = sum(charges.get(parent.formulas[molecule], 0) for molecule, _ in members)
    mask = np.arange(len(atoms)) < len(own)
    volume = (
        parent.frame.volume * len(atoms) / parent.frame.n_atoms
        if all(parent.frame.pbc)
        else None
    )
    return Cluster(frame, mask, atoms, central, parent.source, radius, charge, volume)


def _neighbours(
    parent: _Parent, central: int, radius: float
) -> list[tuple[int, Array]]:
    """Molecules near the central one, and by how much (3,) Å each is to be moved.

    The nearest come first; the order does not depend on the radius, so that a cluster
    is the beginning of every larger one.
    """
    centres = parent.positions[parent.molecule == central]
    tree = cKDTree(centres)
    found: list[tuple[float, int, tuple[int, ...]]] = []
    for shift in _shifts(parent, centres, radius):
        moved = parent.positions + np.array(shift) @ parent.frame.cell
        distances, _ = tree.query(moved, distance_upper_bound=radius)
        nearest = np.full(len(parent.formulas), np.inf)
        np.minimum.at(nearest, parent.molecule, distances)
        for molecule in np.flatnonzero(np.isfinite(nearest)).tolist():
            if molecule != central or any(shift):
                # Rounded, so that equal distances are told apart by number alone.
                found.append((round(float(nearest[molecule]), 6), molecule, shift))
    cell = parent.frame.cell
    return [(molecule, np.array(shift) @ cell) for _, molecule, shift in sorted(found)]


def _shifts(
    parent: _Parent, centres: Array, radius: float
) -> list[tuple[int, int, int]]:
    """Lattice vectors that can bring any atom within the radius of the centres."""
    inverse = np.linalg.inv(completed(parent.frame.cell, parent.frame.pbc))
    margin = radius * np.linalg.norm(inverse, axis=0)
    ours, all_of_them = centres @ inverse, parent.positions @ inverse
    low = np.ceil(ours.min(axis=0) - margin - all_of_them.max(axis=0))
    high = np.floor(ours.max(axis=0) + margin - all_of_them.min(axis=0))
    periodic = np.array(parent.frame.pbc)
    first = np.where(periodic, low, 0).astype(int).tolist()
    last = np.where(periodic, high, 0).astype(int).tolist()
    a, b, c = (range(one, two + 1) for one, two in zip(first, last, strict=True))
    return list(product(a, b, c))
