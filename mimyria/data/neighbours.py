"""Neighbour lists that are reused while atoms move little.

Pairs are searched within the cutoff and a skin. As long as no atom has moved farther
than half the skin, all pairs within the cutoff are among them, and only distances have
to be worked out again. What a frame gets does not depend on the frames before it, bit
for bit: positions are wrapped, vectors are made of wrapped positions and lattice
translations, and edges are in the order of (i, j, S), always.

Source: L. Verlet, Phys. Rev. 159, 98 (1967), for the list with a skin.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
import vesin
from numpy.typing import NDArray

from mimyria.frame import Array, Frame

__all__ = ["Edges", "NeighbourList", "NeighbourLists"]

Indices = NDArray[np.int64]
Edges = tuple[Indices, Indices, Array]
"""Receivers i in rising order, senders j, and vectors r_j − r_i + S @ cell (Å)."""

SKIN: Final = 1.0
"""Å. Liquid water outlasts about 20 fs with it."""

_MOST_REPLICAS: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """Pairs of one frame within cutoff and skin, ordered by (i, j, S).

    Attributes:
        wrapped: (n_atoms, 3) Å — positions in the cell.
        cell: (3, 3) Å.
        pbc: periodic axes.
        skin: Å.
        reach: largest |component| of S that codes can express.
        receivers: (n_pairs,).
        senders: (n_pairs,).
        codes: (n_pairs,) — S as one number, see `_translations`.
    """

    wrapped: Array
    cell: Array
    pbc: tuple[bool, bool, bool]
    skin: float
    reach: int
    receivers: Indices
    senders: Indices
    codes: Indices


class NeighbourList:
    """Edges of one system whose frames follow each other."""

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        """Take the cutoff and the skin, Å; without a skin every search is new."""
        self._cutoff = cutoff
        self._skin = skin
        self._search: _Search | None = None
        self._reused = False

    def edges(self, frame: Frame) -> Edges:
        """All directed pairs of a frame with 0 < |r_ij| < cutoff."""
        wrapped = _wrapped(frame)
        crossings = self._crossings(frame, wrapped)
        if self._search is None or crossings is None or self._search.skin == 0:
            # A skin pays only where frames follow each other closely.
            follows = crossings is not None or self._reused
            skin = self._skin if follows and self._search is not None else 0.0
            self._search = _searched(frame, wrapped, self._cutoff, skin)
            self._reused = False
            return _filtered(self._search, wrapped, self._search.codes, self._cutoff)
        self._reused = True
        codes = self._search.codes
        if crossings.any():
            steps = crossings @ _strides(self._search.reach)
            codes = codes + steps[self._search.receivers] - steps[self._search.senders]
        return _filtered(self._search, wrapped, codes, self._cutoff)

    def _crossings(self, frame: Frame, wrapped: Array) -> Indices | None:
        """Cell boundaries that atoms crossed since the search: (n_atoms, 3).

        None: the frame is of another system, or an atom moved beyond half the skin.
        """
        search = self._search
        if (
            search is None
            or search.wrapped.shape != wrapped.shape
            or search.pbc != frame.pbc
            or not np.array_equal(search.cell, frame.cell)
        ):
            return None
        moved = wrapped - search.wrapped
        crossings = np.rint(_fractional(frame, moved)) * frame.pbc
        if crossings.any():
            moved -= crossings @ frame.cell
        if np.square(moved).sum(axis=1).max(initial=0.0) >= (0.5 * self._skin) ** 2:
            return None
        return crossings.astype(np.int64)


class NeighbourLists:
    """One neighbour list for each replica of a run, the latest of them."""

    def __init__(self, cutoff: float, skin: float = SKIN) -> None:
        """Take the cutoff and the skin, Å."""
        self._cutoff = cutoff
        self._skin = skin
        self._lists: OrderedDict[int, NeighbourList] = OrderedDict()

    def edges(self, frame: Frame) -> Edges:
        """All directed pairs of a frame with 0 < |r_ij| < cutoff."""
        found = self._lists.pop(frame.replica, None)
        self._lists[frame.replica] = found or NeighbourList(self._cutoff, self._skin)
        if len(self._lists) > _MOST_REPLICAS:
            self._lists.popitem(last=False)
        return self._lists[frame.replica].edges(frame)


def _fractional(frame: Frame, vectors: Array) -> Array:
    """Components of vectors (n, 3) along the lattice vectors."""
    # Lattice vectors that are not periodic may be zero: the inverse where there is one.
    components: Array = vectors @ np.linalg.pinv(frame.cell)
    return components


def _wrapped(frame: Frame) -> Array:
    """Positions in the cell, where it is periodic."""
    if not any(frame.pbc):
        return frame.positions
    cells = np.floor(_fractional(frame, frame.positions)) * frame.pbc
    wrapped: Array = frame.positions - cells @ frame.cell
    return wrapped


def _searched(frame: Frame, wrapped: Array, cutoff: float, skin: float) -> _Search:
    """Search all pairs within cutoff and skin and bring them into order."""
    calculator = vesin.NeighborList(cutoff=cutoff + skin, full_list=True)
    receivers, senders, shifts = calculator.compute(
        points=wrapped, box=frame.cell, periodic=list(frame.pbc), quantities="ijS"
    )
    receivers, senders = receivers.astype(np.int64), senders.astype(np.int64)
    shifts = shifts.astype(np.int64)
    # Codes must hold one more on either side, for atoms that cross a boundary.
    reach = int(np.abs(shifts).max(initial=0)) + 2
    origin = reach * _strides(reach).sum()
    codes = origin + sum(shifts[:, k] * step for k, step in enumerate(_strides(reach)))
    keys = (receivers * frame.n_atoms + senders) * (2 * reach + 1) ** 3 + codes
    order = np.argsort(keys, kind="stable")  # pairs come in long runs
    return _Search(
        wrapped.copy(),
        frame.cell.copy(),
        frame.pbc,
        skin,
        reach,
        receivers[order],
        senders[order],
        codes[order],
    )


def _filtered(search: _Search, wrapped: Array, codes: Indices, cutoff: float) -> Edges:
    """The pairs within the cutoff, with vectors of the wrapped positions."""
    translations = _translations(search.reach, search.cell)
    components = []
    for axis in range(3):  # one by one: arrays side by side in memory are fast
        along = np.ascontiguousarray(wrapped[:, axis])
        component = along[search.senders]
        component -= along[search.receivers]
        component += translations[axis][codes]
        components.append(component)
    x, y, z = components
    near = np.flatnonzero(x * x + y * y + z * z < cutoff * cutoff)
    vectors = np.empty((len(near), 3))
    for axis, component in enumerate(components):
        vectors[:, axis] = component[near]
    return search.receivers[near], search.senders[near], vectors


def _strides(reach: int) -> Indices:
    """Code of S: (S + reach) @ strides, which orders as S does."""
    side = 2 * reach + 1
    return np.array([side * side, side, 1], dtype=np.int64)


def _translations(reach: int, cell: Array) -> Array:
    """S @ cell of all codes, (3, n_codes) Å."""
    steps = np.arange(-reach, reach + 1, dtype=np.float64)
    first, second, third = np.meshgrid(steps, steps, steps, indexing="ij")
    # Sums of products one by one: the same bits wherever S stands among the codes.
    return np.stack(
        [
            (first * cell[0, k] + second * cell[1, k] + third * cell[2, k]).ravel()
            for k in range(3)
        ]
    )
