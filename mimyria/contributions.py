"""Contributions: what each group of atoms adds to one sample, and its sum rules.

Written as one flat vector for each frame, since it is stored for every frame:

    currents  (n_cells, 9)    e Å/fs and e² a0² Eh⁻¹ fs⁻¹ — dM/dt, dα/dt of each cell
    sums      (n_species, 7)  Σ m v²; Σ‖P‖²/m, ‖ΣP‖²; the same of Q/3 traced, and of Q
    probes    (n_probes, 9)   currents of all molecules with the signs of each probe
    velocities  (n_species, n_velocity_probes, 3)
                              √amu Å/fs — Σ s √m v of each probe
    totals    (7,)            Tr ΣP / 3; ‖ΣP‖², ‖Σ Tr Q/3‖², ‖ΣQ‖²; M v²  of the centre
                              of mass; Σ‖P‖², Σ‖Q‖²

What belongs to a tensor that is not there is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.currents import Currents, to_voigt
from mimyria.frame import Array, Frame
from mimyria.groups import Grouping, Indices
from mimyria.tensors import Tensors

__all__ = [
    "SUMS",
    "TOTALS",
    "VOIGT_WEIGHTS",
    "Layout",
    "Sample",
    "contributions",
    "mean_contributions",
]

SUMS: Final = (
    "kinetic",
    "apt_norm",
    "apt_sum",
    "iso_norm",
    "iso_sum",
    "pgt_norm",
    "pgt_sum",
)
TOTALS: Final = (
    "charge",
    "apt_sum",
    "iso_sum",
    "pgt_sum",
    "centre",
    "apt_square",
    "pgt_square",
)
VOIGT_WEIGHTS: Final = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)
"""How often each component counts in the double contraction of two tensors."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of the flat vector.

    Attributes:
        n_cells: cells of the grouping.
        n_species: species of the grouping.
        n_probes: random-sign probes.
        n_velocity_probes: random-sign probes of the velocities of each species.
    """

    n_cells: int
    n_species: int
    n_probes: int = 0
    n_velocity_probes: int = 0

    @classmethod
    def of(cls, grouping: Grouping | None) -> Layout:
        """Of a grouping; without one nothing is kept."""
        if grouping is None:
            return cls(0, 0)
        n_probes, n_velocity_probes = (
            0 if probes is None else probes.n_probes
            for probes in (grouping.probes, grouping.velocity_probes)
        )
        n_species = len(grouping.species_names)
        return cls(len(grouping.cells), n_species, n_probes, n_velocity_probes)

    @property
    def size(self) -> int:
        """Numbers in the vector of one frame."""
        if not self.n_cells:
            return 0
        n_sums = len(SUMS) * self.n_species + len(TOTALS)
        n_velocities = 3 * self.n_species * self.n_velocity_probes
        return 9 * (self.n_cells + self.n_probes) + n_velocities + n_sums

    def currents(self, rows: Array) -> Array:
        """(n, n_cells, 9) of (n, size)."""
        return rows[:, : 9 * self.n_cells].reshape(len(rows), self.n_cells, 9)

    def sums(self, rows: Array) -> Array:
        """(n, n_species, len(SUMS)) of (n, size)."""
        begin = 9 * self.n_cells
        part = rows[:, begin : begin + len(SUMS) * self.n_species]
        return part.reshape(len(rows), self.n_species, len(SUMS))

    def probes(self, rows: Array) -> Array:
        """(n, n_probes, 9) of (n, size)."""
        begin = 9 * self.n_cells + len(SUMS) * self.n_species
        part = rows[:, begin : begin + 9 * self.n_probes]
        return part.reshape(len(rows), self.n_probes, 9)

    def velocities(self, rows: Array) -> Array:
        """(n, n_species, n_velocity_probes, 3) of (n, size)."""
        shape = (len(rows), self.n_species, self.n_velocity_probes, 3)
        end = rows.shape[1] - len(TOTALS)
        return rows[:, end - math.prod(shape[1:]) : end].reshape(shape)

    def totals(self, rows: Array) -> Array:
        """(n, len(TOTALS)) of (n, size)."""
        return rows[:, -len(TOTALS) :]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is known of one frame once its tensors are.

    Attributes:
        currents: of all atoms.
        contributions: flat vector of what the cells add; None without a grouping.
        excess: largest of `mimyria.uncertainty.Uncertainty.excess`; 0 where nobody
            knows.
        bead: the bead of a ring polymer that `excess` is of.
    """

    currents: Currents
    contributions: Array | None = None
    excess: float = 0.0
    bead: int = 0


def contributions(frame: Frame, tensors: Tensors, grouping: Grouping) -> Array:
    """The flat vector of one frame.

    Args:
        frame: with velocities.
        tensors: of its atoms.
        grouping: of its atoms.

    Returns:
        (size,) as `Layout` says.

    Source: docs/theory.md, eq. (91), docs/theory.md, eq. (40), docs/theory.md, eq. (43)
    and docs/theory.md, eq. (49); docs/theory.md, eq. (92).
    """
    layout = Layout.of(grouping)
    flat = np.full(layout.size, np.nan)
    rows = flat[np.newaxis]
    masses, members = grouping.masses, grouping.members
    sums, totals = layout.sums(rows)[0], layout.totals(rows)[0]
    _add_kinetic(sums, totals, frame, grouping)
    if grouping.velocity_probes is not None:
        _add_velocities(layout.velocities(rows)[0], frame, grouping)
    shares = layout.currents(rows)[0]
    probes = layout.probes(rows)[0]
    signs = None if grouping.probes is None else grouping.probes.signs(frame.step)
    cells = grouping.memberships(frame)
    moving = grouping.velocities(frame)
    if tensors.apt is not None:
        apt = tensors.apt
        each = [np.einsum("iab,ib->ia", apt, part) for part in moving]
        _add(shares[:, :3], each, grouping, cells)
        if signs is not None:
            probes[:, :3] = signs @ np.sum(each, axis=0)
        total, square = _norms(sums[:, 1:3], apt.reshape(-1, 9), masses, members)
        totals[0] = np.trace(total.reshape(3, 3)) / 3.0
        totals[1], totals[5] = total @ total, square
    if tensors.pgt is not None:
        pgt = 0.5 * (tensors.pgt + tensors.pgt.swapaxes(1, 2))
        moved = [to_voigt(np.einsum("iabc,ic->iab", pgt, part)) for part in moving]
        _add(shares[:, 3:], moved, grouping, cells)
        if signs is not None:
            probes[:, 3:] = signs @ np.sum(moved, axis=0)
        trace = np.einsum("iaac->ic", pgt) / 3.0
        total, _ = _norms(sums[:, 3:5], trace, masses, members)
        totals[2] = total @ total
        total, square = _norms(sums[:, 5:7], pgt.reshape(-1, 27), masses, members)
        totals[3], totals[6] = total @ total, square
    return flat


def mean_contributions(flat: Array, frame: Frame, grouping: Grouping) -> Array:
    """The flat vector of a ring polymer: the mean of those of its beads.

    Kinetic energies are those of the centroid: a bead alone moves as at n_beads times
    the temperature.

    Args:
        flat: (n_beads, size).
        frame: of the ring polymer.
        grouping: of its atoms.

    Source: docs/theory.md, eq. (100).
    """
    mean: Array = flat.mean(axis=0)
    layout, rows = Layout.of(grouping), mean[np.newaxis]
    _add_kinetic(layout.sums(rows)[0], layout.totals(rows)[0], frame, grouping)
    return mean


def _add_kinetic(sums: Array, totals: Array, frame: Frame, grouping: Grouping) -> None:
    """Σ m v² of each species, and M v² of the centre of mass."""
    velocities, masses = frame.velocities, grouping.masses
    assert velocities is not None
    doubled = masses * np.einsum("ia,ia->i", velocities, velocities)
    momentum = masses @ velocities
    totals[4] = momentum @ momentum / grouping.total_mass
    for row, atoms in zip(sums, grouping.members, strict=True):
        row[0] = doubled[atoms].sum()


def _add(
    shares: Array,
    each: list[Array],
    grouping: Grouping,
    cells: list[tuple[Indices, Array]],
) -> None:
    """Weighted sum over each cell of what single atoms add, by the motion of it."""
    groups = (group for group, _ in grouping.cells)
    for row, group, (atoms, weights) in zip(shares, groups, cells, strict=True):
        one = each[group if len(each) > 1 else 0]
        row[:] = (weights[:, np.newaxis] * one[atoms]).sum(axis=0)


def _add_velocities(channels: Array, frame: Frame, grouping: Grouping) -> None:
    """Σ s √m v of each species and probe."""
    probes, velocities = grouping.velocity_probes, frame.velocities
    assert probes is not None
    assert velocities is not None
    weights = probes.signs(frame.step) * np.sqrt(grouping.masses)
    for row, atoms in zip(channels, grouping.members, strict=True):
        row[:] = weights[:, atoms] @ velocities[atoms]


def _norms(
    target: Array, each: Array, masses: Array, members: tuple[Indices, ...]
) -> tuple[Array, float]:
    """Σ‖T‖²/m and ‖ΣT‖² of each species; ΣT and Σ‖T‖² of all atoms."""
    squares = np.einsum("ix,ix->i", each, each)
    for row, atoms in zip(target, members, strict=True):
        part = each[atoms].sum(axis=0)
        row[0], row[1] = (squares[atoms] / masses[atoms]).sum(), part @ part
    total: Array = each.sum(axis=0)
    return total, float(squares.sum())
