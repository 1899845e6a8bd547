"""Molecules: what is bonded to what in one frame.

Two atoms are bonded where they are closer than the sum of their covalent radii times a
factor; a molecule is all that hangs together, across the borders of the cell too. Atoms
of alkali and alkaline-earth metals count as ions, which are bonded to nothing. ASE's
tables are imported where they are needed: what only reads settings stays without it.

Source: docs/theory.md, eq. (81).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.images import images_within, wrapped

__all__ = [
    "BOND_FACTOR",
    "find_bond_tree",
    "find_molecules",
    "hill_formula",
    "molecule_formulas",
    "symbols_of",
    "whole_molecules",
]

BOND_FACTOR: Final = 1.25
"""Longest bond in units of the sum of covalent radii (Cordero et al., 2008)."""

_SAME_PLACE: Final = 1e-6  # Å; far below any bond, far above rounding
_FORMULA: Final = re.compile(r"([A-Z][a-z]?)(\d*)")
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
    first, second, _ = _bonds(frame, factor)
    return _tree(first, second, frame.n_atoms)


def whole_molecules(
    frame: Frame, factor: float = BOND_FACTOR
) -> tuple[NDArray[np.int64], Array]:
    """Molecules, and positions at which none is cut by the borders of the cell.

    Args:
        frame: positions and cell, Å; atoms need not be wrapped into the cell.
        factor: of the sum of covalent radii.

    Returns:
        As `find_molecules`; and (n_atoms, 3) Å — images of the atoms, each at its bond
        to the rest of its molecule, of which the first atom lies inside the cell.

    Raises:
        SettingsError: the factor is not positive.
        FrameError: a molecule is bonded to its own image, and so has no end.
    """
    first, second, vectors = _bonds(frame, factor)
    molecules, parents = _tree(first, second, frame.n_atoms)
    offsets = _offsets(first, second, vectors, parents)
    roots = np.unique(molecules, return_index=True)[1]
    inside = wrapped(frame.positions[roots], frame.cell, frame.pbc)
    whole: Array = inside[molecules] + offsets
    # Every bond, and not those of the tree alone, must be found again.
    endless = np.linalg.norm(whole[second] - whole[first] - vectors, axis=1) > 1e-3
    if endless.any():
        atom = int(first[np.argmax(endless)])
        raise FrameError(
            f"step {frame.step}: the molecule of atom {atom} must be finite, but is "
            "bonded to its own image. Chains and networks cannot be cut out whole; if "
            "these are molecules, lower the bond factor."
        )
    return molecules, whole


def _bonds(
    frame: Frame, factor: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Bonds i → image of j, both ways, with r_j − r_i in Å."""
    if not factor > 0:
        raise SettingsError(f"the bond factor must be above 0, but is {factor}.")
    from ase.data import covalent_radii

    radii = np.array(covalent_radii, dtype=np.float64)[frame.numbers]
    radii[np.isin(frame.numbers, _IONS)] = 0.0
    longest = 2.0 * factor * float(radii.max())
    if not longest > 0:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros((0, 3))
    first, second, vectors = _near_pairs(frame, longest)
    both = (radii[first] > 0) & (radii[second] > 0)
    distances = np.linalg.norm(vectors, axis=1)
    bonded = both & (distances < factor * (radii[first] + radii[second]))
    return first[bonded], second[bonded], vectors[bonded]


def _tree(
    first: NDArray[np.int64], second: NDArray[np.int64], n_atoms: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Molecules and parents from the bonds; see `find_bond_tree`."""
    bonds = _graph(first, second, n_atoms)
    _, labels = connected_components(bonds, directed=False)
    _, firsts, places = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(firsts))
    molecules: NDArray[np.int64] = order[places].astype(np.int64)
    # From one more node, which is joined to the first atom of every molecule.
    roots = np.full(len(firsts), n_atoms)
    tree = _graph(
        np.concatenate([first, roots]),
        np.concatenate([second, firsts]),
        n_atoms + 1,
    )
    _, found = breadth_first_order(tree, n_atoms, directed=False)
    parents = np.where(found[:-1] == n_atoms, np.arange(n_atoms), found[:-1])
    return molecules, parents.astype(np.int64)


def _offsets(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    vectors: Array,
    parents: NDArray[np.int64],
) -> Array:
    """(n_atoms, 3) Å — from the first atom of its molecule to each one, by bonds."""
    n_atoms = len(parents)
    offsets = np.zeros((n_atoms, 3))
    # Both ways, for a bond at the very limit may have been found only one way.
    keys = np.concatenate([first * n_atoms + second, second * n_atoms + first])
    key, bond = np.unique(keys, return_index=True)
    children = np.flatnonzero(parents != np.arange(n_atoms))
    place = np.searchsorted(key, parents[children] * n_atoms + children)
    offsets[children] = np.concatenate([vectors, -vectors])[bond[place]]
    # Sum of the bonds up to the first atom, twice as many of them in each turn.
    above = parents
    while np.any(above != above[above]):
        offsets = offsets + offsets[above]
        above = above[above]
    return offsets


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


def hill_formula(formula: str) -> str:
    """A formula in Hill's order: `SO4` becomes `O4S`.

    Raises:
        SettingsError: it is no formula.
    """
    from ase.data import atomic_numbers

    count = Counter[str]()
    for symbol, number in _FORMULA.findall(formula):
        count[symbol] += int(number or 1)
    known = all(symbol in atomic_numbers and n > 0 for symbol, n in count.items())
    if not count or not known or _FORMULA.sub("", formula):
        raise SettingsError(
            f"'{formula}' is not the formula of a molecule. Write elements and their "
            "numbers, for example H2O or SO4."
        )
    return _hill(count)


def symbols_of(numbers: NDArray[np.int64] | Sequence[int]) -> list[str]:
    """Chemical symbols of atomic numbers."""
    from ase.data import chemical_symbols

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
    """All pairs i, j (any image of j, also of i) within the cutoff, and r_j − r_i."""
    images, owners = images_within(frame.positions, frame.cell, frame.pbc, cutoff)
    inside = wrapped(frame.positions, frame.cell, frame.pbc)
    found = cKDTree(inside).sparse_distance_matrix(
        cKDTree(images), cutoff, output_type="ndarray"
    )
    first: NDArray[np.int64] = found["i"].astype(np.int64)
    second = owners[found["j"]]
    vectors = images[found["j"]] - inside[first]
    itself = (first == second) & (found["v"] < _SAME_PLACE)
    return first[~itself], second[~itself], vectors[~itself]


def _hill(count: Counter[str]) -> str:
    first = ["C", "H"] if "C" in count else []
    order = sorted(count, key=lambda symbol: (symbol not in first, symbol))
    return "".join(
        symbol + (str(count[symbol]) if count[symbol] > 1 else "") for symbol in order
    )
