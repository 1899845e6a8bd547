"""Molecules: what is bonded to what in one frame.

Two atoms are bonded where they are closer than the sum of their covalent radii times a
factor; a molecule is all that hangs together, across the borders of the cell too. Atoms
of alkali and alkaline-earth metals count as ions, which are bonded to nothing.

Source: docs/theory.md, eq. (81).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from mimyria.errors import SettingsError
from mimyria.frame import Array, Frame
from mimyria.images import images_within, wrapped

__all__ = [
    "BOND_FACTOR",
    "find_bond_tree",
    "find_molecules",
    "molecule_formulas",
    "symbols_of",
]

BOND_FACTOR: Final = 1.25
"""Longest bond in units of the sum of covalent radii (Cordero et al., 2008)."""

_IONS: Final = (3, 11, 19, 37, 55, 12, 20, 38, 56)


def find_molecules(frame: Frame, factor: float = BOND_FACTOR) -> NDArray[np.int64]:
    """Number of the molecule of each atom, counted in the order of first atoms.

    Args:
        frame: positions and cell, Å; the nearest image decides in any cell.
        factor: of the sum of covalent radii.

    Raises:
        SettingsError: the factor is not positive.
    """
    return find_bond_tree(frame, factor)[0]


def find_bond_tree(
    frame: Frame, factor: float = BOND_FACTOR
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Molecules, and along which bonds each atom is joined to the first of its own.

    Args:
        frame: positions and cell, Å; the nearest image decides in any cell.
        factor: of the sum of covalent radii.

    Returns:
        As `find_molecules`; and for each atom the next one on the way to the first atom
        of its molecule, which is its own. It depends on nothing but the bonds.

    Raises:
        SettingsError: the factor is not positive.
    """
    if not factor > 0:
        raise SettingsError(f"the bond factor must be above 0, but is {factor}.")
    n_atoms = frame.n_atoms
    radii = np.array(covalent_radii, dtype=np.float64)[frame.numbers]
    radii[np.isin(frame.numbers, _IONS)] = 0.0
    longest = 2.0 * factor * float(radii.max())
    if not longest > 0:
        return np.arange(n_atoms), np.arange(n_atoms)
    first, second, distances = _near_pairs(frame, longest)
    both = (radii[first] > 0) & (radii[second] > 0)
    bonded = both & (distances < factor * (radii[first] + radii[second]))
    bonds = _graph(first[bonded], second[bonded], n_atoms)
    _, labels = connected_components(bonds, directed=False)
    _, firsts, places = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(firsts))
    molecules: NDArray[np.int64] = order[places].astype(np.int64)
    # From one more node, which is joined to the first atom of every molecule.
    roots = np.full(len(firsts), n_atoms)
    tree = _graph(
        np.concatenate([first[bonded], roots]),
        np.concatenate([second[bonded], firsts]),
        n_atoms + 1,
    )
    _, found = breadth_first_order(tree, n_atoms, directed=False)
    parents = np.where(found[:-1] == n_atoms, np.arange(n_atoms), found[:-1])
    return molecules, parents.astype(np.int64)


def molecule_formulas(
    numbers: NDArray[np.int64], molecules: NDArray[np.int64]
) -> tuple[str, ...]:
    """Formula of each molecule, in Hill's order: C, H, then by the alphabet.

    Args:
        numbers: (n_atoms,) — atomic numbers.
        molecules: (n_atoms,) — as `find_molecules` gives them.
    """
    counts = [Counter[str]() for _ in range(int(molecules.max()) + 1)]
    for symbol, molecule in zip(symbols_of(numbers), molecules.tolist(), strict=True):
        counts[molecule][symbol] += 1
    return tuple(_hill(count) for count in counts)


def symbols_of(numbers: NDArray[np.int64] | Sequence[int]) -> list[str]:
    """Chemical symbols of atomic numbers."""
    return [str(chemical_symbols[int(number)]) for number in numbers]


def _graph(
    first: NDArray[np.int64], second: NDArray[np.int64], size: int
) -> csr_matrix[np.float64]:
    """Neighbours in rising order, so that the tree is the same for the same bonds."""
    graph = coo_matrix((np.ones(len(first)), (first, second)), (size, size)).tocsr()
    graph.sort_indices()
    return graph


def _near_pairs(
    frame: Frame, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """All pairs i, j (any image of j) closer than the cutoff, and their distances."""
    images, owners = images_within(frame.positions, frame.cell, frame.pbc, cutoff)
    inside = wrapped(frame.positions, frame.cell, frame.pbc)
    found = cKDTree(inside).sparse_distance_matrix(
        cKDTree(images), cutoff, output_type="ndarray"
    )
    others = owners[found["j"]]
    apart = found["i"] != others
    first: NDArray[np.int64] = found["i"][apart].astype(np.int64)
    return first, others[apart].astype(np.int64), found["v"][apart]


def _hill(count: Counter[str]) -> str:
    first = ["C", "H"] if "C" in count else []
    order = sorted(count, key=lambda symbol: (symbol not in first, symbol))
    return "".join(
        symbol + (str(count[symbol]) if count[symbol] > 1 else "") for symbol in order
    )
