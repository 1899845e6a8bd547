"""Subdomains: some atoms of a large system, and around them ghosts of the others.

A program that shares its atoms between processes gives each of them its own atoms and
copies of those around it, periodic images among them, as plain atoms. The tensors of
the atoms that a process owns need nothing else, if its ghosts reach far enough:

    reach = n_layers · cutoff

since each layer of a network looks one cutoff farther. This module knows arrays and
numpy; it knows no network and no engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import vesin
from numpy.typing import NDArray

from mimyria.data.graph import Graph, species_indices
from mimyria.errors import FrameError, ShapeError
from mimyria.frame import Array

__all__ = ["Subdomain", "SubdomainGraph", "subdomain_graph"]

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Subdomain:
    """The atoms of one process and the ghosts around them.

    Attributes:
        numbers: (n_atoms,) — atomic numbers; the owned atoms come first.
        positions: (n_atoms, 3) Å — ghosts stand where the image is.
        n_owned: atoms that the process owns; the others are ghosts.
    """

    numbers: Indices
    positions: Array
    n_owned: int

    def __post_init__(self) -> None:
        """Check sizes once."""
        n_atoms = len(self.numbers)
        if self.positions.shape != (n_atoms, 3) or not 0 <= self.n_owned <= n_atoms:
            raise ShapeError(
                f"a subdomain of {n_atoms} atoms needs positions ({n_atoms}, 3) and at "
                f"most {n_atoms} owned atoms, but has {self.positions.shape} and "
                f"{self.n_owned}."
            )


@dataclass(frozen=True, slots=True, eq=False)
class SubdomainGraph:
    """What the tensors of the owned atoms depend on.

    Attributes:
        graph: the atoms in the order of their hops, owned ones first and as they were;
            edges of all receivers but those of the last hop.
        reached: (n_layers + 1) — atoms that are at most 0, 1, … hops from an owned one.
    """

    graph: Graph
    reached: tuple[int, ...]


def subdomain_graph(
    subdomain: Subdomain, species: tuple[int, ...], cutoff: float, n_layers: int
) -> SubdomainGraph:
    """Neighbours without periodic images, as far as the owned atoms feel them.

    Args:
        subdomain: its ghosts must reach n_layers · cutoff beyond the owned atoms.
        species: sorted atomic numbers that the model knows.
        cutoff: Å.
        n_layers: of the network.

    Raises:
        ModelError: an element is not among the species.
        FrameError: positions are not finite.
    """
    if not np.isfinite(subdomain.positions).all():
        raise FrameError(
            "positions must be finite, but those of a subdomain are not. The dynamics "
            "has probably blown up; look at the engine's log."
        )
    near = _near(subdomain, n_layers * cutoff)
    positions = np.ascontiguousarray(subdomain.positions[near])
    receivers, senders = _pairs(positions, cutoff)
    hops = _hops(receivers, senders, len(near), subdomain.n_owned, n_layers)
    order = np.argsort(hops, kind="stable")
    reached = np.searchsorted(hops[order], np.arange(n_layers + 1), side="right")
    kept = order[: reached[-1]]
    place = np.full(len(near), -1, np.int64)
    place[kept] = np.arange(len(kept))
    needed = np.flatnonzero(hops[receivers] < n_layers)
    needed = needed[np.argsort(place[receivers[needed]], kind="stable")]
    receivers, senders = receivers[needed], senders[needed]
    vectors = positions[senders] - positions[receivers]
    graph = Graph(
        species_indices(subdomain.numbers[near][kept], species),
        place[receivers],
        place[senders],
        vectors,
        (len(kept),),
    )
    return SubdomainGraph(graph, tuple(reached.tolist()))


def _near(subdomain: Subdomain, reach: float) -> Indices:
    """Owned atoms, and ghosts no farther than that from the box around these."""
    n_owned = subdomain.n_owned
    if n_owned == 0:
        return np.empty(0, np.int64)
    owned, ghosts = np.split(subdomain.positions, [n_owned])
    low, high = owned.min(axis=0) - reach, owned.max(axis=0) + reach
    inside = ((ghosts >= low) & (ghosts <= high)).all(axis=1)
    return np.concatenate([np.arange(n_owned), n_owned + np.flatnonzero(inside)])


def _pairs(positions: Array, cutoff: float) -> tuple[Indices, Indices]:
    """Directed pairs within the cutoff."""
    if len(positions) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    search = vesin.NeighborList(cutoff=cutoff, full_list=True)
    receivers, senders = search.compute(
        points=positions, box=np.zeros((3, 3)), periodic=False, quantities="ij"
    )
    return receivers.astype(np.int64), senders.astype(np.int64)


def _hops(
    receivers: Indices, senders: Indices, n_atoms: int, n_owned: int, n_layers: int
) -> Indices:
    """Fewest edges from each atom to an owned one; n_layers + 1 where it is more."""
    hops = np.full(n_atoms, n_layers + 1, np.int64)
    hops[:n_owned] = 0
    for hop in range(1, n_layers + 1):
        found = senders[hops[receivers] == hop - 1]
        hops[found] = np.minimum(hops[found], hop)
    return hops
