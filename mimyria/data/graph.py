"""Neighbour graphs: which atoms see which periodic images within the cutoff.

r_ij = r_j − r_i + S @ cell, one directed edge for each pair and image with
0 < |r_ij| < cutoff. All images are found, so the cutoff may exceed half the box; cells
may be triclinic or left-handed and positions need not be wrapped. This module knows
frames and numpy; it knows no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mimyria.data.neighbours import Edges, NeighbourList
from mimyria.errors import ModelError
from mimyria.frame import Array, Frame

__all__ = ["Graph", "batch_graph", "neighbour_edges", "species_indices"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """One or several frames as a single graph without edges between frames.

    Attributes:
        species: (n_atoms,) — index into the sorted list of species of the model.
        receivers: (n_edges,) — atom i, the centre; in rising order.
        senders: (n_edges,) — atom j, the neighbour.
        vectors: (n_edges, 3) Å — r_ij = r_j − r_i + S @ cell.
        sizes: atoms of each frame, in the order of the frames.
    """

    species: Indices
    receivers: Indices
    senders: Indices
    vectors: Array
    sizes: tuple[int, ...]

    @property
    def n_atoms(self) -> int:
        """Atoms of all frames together."""
        return len(self.species)

    @property
    def n_edges(self) -> int:
        """Directed edges of all frames together."""
        return len(self.receivers)


def neighbour_edges(frame: Frame, cutoff: float) -> Edges:
    """All directed pairs of one frame within the cutoff.

    Args:
        frame: positions and cell in Å.
        cutoff: Å, strictly positive.

    Returns:
        Receivers i (n_edges,) in rising order, senders j (n_edges,), and vectors
        r_j − r_i + S @ cell (n_edges, 3) Å; edges in the order of (i, j, S).
    """
    return NeighbourList(cutoff, skin=0.0).edges(frame)


def species_indices(numbers: Indices, species: Sequence[int]) -> Indices:
    """Position of each atomic number in the sorted list of species.

    Raises:
        ModelError: an element is not in the list; names all that are not.
    """
    known = np.asarray(species, dtype=np.int64)
    unknown = sorted(set(numbers.tolist()) - set(known.tolist()))
    if unknown:
        raise ModelError(
            f"The model knows the elements {_symbols(known.tolist())}, but the frame "
            f"also holds {_symbols(unknown)}. Train a model on data with these "
            "elements, or remove the atoms."
        )
    return np.searchsorted(known, numbers)


def _symbols(numbers: Sequence[int]) -> str:
    return ", ".join(chemical_symbols[number] for number in numbers)


def batch_graph(
    frames: Sequence[Frame],
    species: Sequence[int],
    cutoff: float,
    edges: Callable[[Frame], Edges] | None = None,
) -> Graph:
    """Join frames into one graph by shifting atom indices.

    Args:
        frames: at least one frame.
        species: sorted atomic numbers that the model knows.
        cutoff: Å.
        edges: finds the edges of a frame; a new search for each frame if left out.
    """
    receivers, senders, vectors, kinds = [], [], [], []
    offset = 0
    for frame in frames:
        kinds.append(species_indices(frame.numbers, species))
        i, j, r_ij = edges(frame) if edges else neighbour_edges(frame, cutoff)
        receivers.append(i + offset)
        senders.append(j + offset)
        vectors.append(r_ij)
        offset += frame.n_atoms
    return Graph(
        np.concatenate(kinds),
        np.concatenate(receivers),
        np.concatenate(senders),
        np.concatenate(vectors),
        tuple(frame.n_atoms for frame in frames),
    )
