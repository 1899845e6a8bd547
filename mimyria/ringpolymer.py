"""Ring polymer: one frame of several beads, and the one sample that comes of them.

The estimator of ring-polymer dynamics is a mean over the beads, taken before anything
is correlated. So a ring polymer is one frame, whose positions and velocities are those
of the centroid; the networks are asked about each bead, and what they say is averaged
to one sample. It knows frames and samples, and no engine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimyria.contributions import Sample, mean_contributions
from mimyria.currents import Currents
from mimyria.frame import Array, Beads, Frame
from mimyria.groups import Grouping

__all__ = ["bead_frames", "mean_sample", "ring_polymer"]


def ring_polymer(
    numbers: NDArray[np.int64],
    beads: Beads,
    cell: Array,
    step: int,
    pbc: tuple[bool, bool, bool] = (True, True, True),
) -> Frame:
    """The frame of a ring polymer.

    Where an engine has wrapped the beads one by one, the images nearest to those of the
    first bead make the centroid.

    Args:
        numbers: (n_atoms,) — atomic numbers.
        beads: positions and velocities of all beads.
        cell: (3, 3) Å — rows are the lattice vectors.
        step: MD step.
        pbc: whether the cell repeats along each lattice vector.
    """
    return Frame(
        numbers,
        _centroid(beads.positions, cell, pbc),
        cell,
        beads.velocities.mean(axis=0),
        step,
        pbc=pbc,
        beads=beads,
    )


def bead_frames(frame: Frame) -> list[Frame]:
    """The frames that networks are asked about: those of the beads, or the frame.

    Each bead is a replica of its own, so that each has its own neighbour list.
    """
    beads = frame.beads
    if beads is None:
        return [frame]
    return [
        Frame(
            frame.numbers,
            beads.positions[bead],
            frame.cell,
            beads.velocities[bead],
            frame.step,
            bead,
            frame.pbc,
        )
        for bead in range(len(beads))
    ]


def mean_sample(
    frame: Frame, samples: Sequence[Sample], grouping: Grouping | None
) -> Sample:
    """One sample of those of the beads.

    dM/dt = (1/P) Σ_b Σ_i P_i(q_b) v_ib, and dα/dt likewise

    The frame is as uncertain as its most uncertain bead.

    Args:
        frame: of the ring polymer.
        samples: of its beads, in order.
        grouping: of its atoms, if their parts are kept.

    Source: docs/theory.md, eq. (100). Craig, Manolopoulos, JCP 121, 3368 (2004).
    """
    if frame.beads is None:
        return samples[0]
    worst = max(range(len(samples)), key=lambda bead: samples[bead].excess)
    parts = None
    if grouping is not None:
        flat = np.array([sample.contributions for sample in samples], np.float64)
        parts = mean_contributions(flat, frame, grouping)
    return Sample(
        Currents(
            _mean([sample.currents.dipole for sample in samples]),
            _mean([sample.currents.polarizability for sample in samples]),
        ),
        parts,
        samples[worst].excess,
        worst,
    )


def _mean(parts: Sequence[Array | None]) -> Array | None:
    present = [part for part in parts if part is not None]
    if not present:
        return None
    mean: Array = np.mean(present, axis=0)
    return mean


def _centroid(positions: Array, cell: Array, pbc: tuple[bool, bool, bool]) -> Array:
    """Mean over the beads of (n_beads, n_atoms, 3), of the nearest images."""
    apart = positions - positions[0]
    # Lattice vectors that are not periodic may be zero: the inverse where there is one.
    jumps = np.round(apart @ np.linalg.pinv(cell)) * pbc
    if jumps.any():
        positions = positions - jumps @ cell
    centroid: Array = positions.mean(axis=0)
    return centroid
