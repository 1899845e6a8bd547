"""Shells around a solute: distances, weights and what they are refused for."""

from itertools import product

import numpy as np
import pytest

from mimyria.errors import SettingsError
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria.images import nearest_distances, nearest_images
from mimyria.molecules import find_bond_tree, find_molecules
from mimyria.selections import shell_grouping
from mimyria.shells import centres_of_mass, shell_weights

SKEWED = np.array([[9.0, 0.0, 0.0], [8.0, 5.0, 0.0], [-7.0, 11.0, 6.0]])
"""Shortest vectors are far from the rows."""
OPEN = [(True, True, True), (True, False, True), (False, False, True), (False,) * 3]


def brute_force(vectors, cell, pbc, reach=8):
    """Shortest images among very many."""
    ranges = [range(-reach, reach + 1) if each else (0,) for each in pbc]
    shifts = np.array(list(product(*ranges))) @ cell
    images = vectors[:, None] + shifts
    best = np.argmin(np.linalg.norm(images, axis=2), axis=1)
    return images[np.arange(len(images)), best]


def rotation(seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


@pytest.mark.parametrize("pbc", OPEN)
@pytest.mark.parametrize("turned", [False, True])
def test_nearest_images_are_those_of_brute_force_in_a_skewed_cell(pbc, turned):
    cell = SKEWED @ rotation(1).T if turned else SKEWED
    vectors = np.random.default_rng(0).uniform(-12.0, 12.0, (150, 3))
    np.testing.assert_allclose(
        nearest_images(vectors, cell, pbc),
        brute_force(vectors, cell, pbc),
        atol=1e-11,
    )


@pytest.mark.parametrize("pbc", OPEN)
@pytest.mark.parametrize("cutoff", [2.0, 9.0])
def test_nearest_distances_are_those_of_brute_force_in_a_skewed_cell(pbc, cutoff):
    rng = np.random.default_rng(2)
    cell = SKEWED @ rotation(3).T
    points = rng.uniform(-6.0, 6.0, (60, 3))
    others = rng.uniform(-6.0, 6.0, (3, 3))
    pairs = (others[None] - points[:, None]).reshape(-1, 3)
    every = np.linalg.norm(brute_force(pairs, cell, pbc, 12), axis=1)
    expected = every.reshape(60, 3).min(axis=1)
    found = nearest_distances(points, others, cell, pbc, cutoff)
    near = expected < cutoff
    np.testing.assert_allclose(found[near], expected[near], atol=1e-11)
    assert np.isinf(found[~near]).all()


@pytest.mark.parametrize("borders", [(3.5,), (3.5, 5.5), (2.0, 2.2, 2.3)])
def test_weights_are_smooth_and_add_up_to_one_everywhere(borders):
    step = 1e-4
    distances = np.append(np.arange(0.0, 9.0, step), np.inf)
    weights = shell_weights(distances, borders, 0.5)
    assert weights.shape == (len(borders) + 1, len(distances))
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=0, atol=1e-15)
    assert weights.min() >= 0.0
    slopes = np.diff(weights[:, :-1]) / step
    assert abs(slopes).max() <= 2 * np.pi / 2 / 0.5 + 1e-6
    assert abs(np.diff(slopes)).max() < 2 * np.pi**2 / 2 / 0.5**2 * step * 1.01
    assert weights[0, 0] == weights[-1, -1] == 1.0


def test_half_of_a_molecule_on_a_border_is_on_either_side():
    weights = shell_weights(np.array([3.25, 3.5, 3.75]), (3.5, 5.5), 0.5)
    np.testing.assert_allclose(weights[0], [1.0, 0.5, 0.0], atol=1e-15)
    np.testing.assert_allclose(weights[1], [0.0, 0.5, 1.0], atol=1e-15)
    np.testing.assert_array_equal(weights[2], 0.0)


def solution(seed=0, cell=SKEWED * 1.5):
    """Sodium and water, each atom at any image of its own."""
    rng = np.random.default_rng(seed)
    water = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    places = np.array(
        [[0.1, 0.1, 0.1], [0.6, 0.2, 0.1], [0.3, 0.7, 0.6], [0.8, 0.9, 0.4]]
    )
    positions = [places[:1] @ cell]
    positions += [water @ rotation(seed + n).T + places[n] @ cell for n in (1, 2, 3)]
    whole = np.concatenate(positions)
    numbers = np.array([11, *[8, 1, 1] * 3])
    masses = np.where(numbers == 1, 1.008, np.where(numbers == 8, 15.999, 22.99))
    scattered = whole + rng.integers(-2, 3, whole.shape) @ cell
    order = rng.permutation(len(numbers))
    frame = Frame(numbers[order], scattered[order], cell, None, 0)
    return frame, whole[order], masses[order]


@pytest.mark.parametrize("seed", range(4))
def test_distances_hold_for_molecules_that_are_cut_by_the_cell(seed):
    frame, whole, masses = solution(seed)
    grouping = shell_grouping(frame, masses, "element Na", (3.5, 5.5), 0.5)
    shells = grouping.shells
    found = shells.distances(frame, masses)
    sodium = whole[frame.numbers == 11][0]
    expected = []
    for molecule in range(shells.molecule.max() + 1):
        atoms = np.flatnonzero(shells.molecule == molecule)
        centre = masses[atoms] @ whole[atoms] / masses[atoms].sum()
        near = brute_force((centre - sodium)[None], frame.cell, frame.pbc)
        expected.append(np.linalg.norm(near))
    expected = np.where(np.array(expected) < 6.0, expected, np.inf)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    assert np.isfinite(found).sum() > 1
    np.testing.assert_allclose(
        shells.weights(frame, masses).sum(axis=0), 1.0, rtol=0, atol=1e-15
    )


def test_long_molecule_is_put_together_along_its_bonds():
    """A chain longer than the cell, every atom wrapped into it."""
    straight = np.stack([1.4 * np.arange(11), 0.2 * np.arange(11) % 0.3], axis=1)
    whole = np.column_stack([straight, np.linspace(0.0, 9.0, 11)])
    cell = np.diag([6.0, 12.0, 14.0])
    rng = np.random.default_rng(0)
    order = rng.permutation(11)
    wrapped = whole[order] % np.diag(cell)
    frame = Frame(np.full(11, 6), wrapped, cell, None, 0)
    molecule, parent = find_bond_tree(frame)
    assert molecule.tolist() == [0] * 11
    assert parent[0] == 0
    masses = rng.uniform(1.0, 2.0, 11)
    found = centres_of_mass(frame, masses, molecule, parent)
    expected = masses @ whole[order] / masses.sum() - whole[order[0]] + wrapped[0]
    np.testing.assert_allclose(found[0], expected, atol=1e-12)


def test_tree_depends_on_the_bonds_alone():
    for seed in range(3):
        frame, _, _ = solution(seed)
        molecule, parent = find_bond_tree(frame)
        np.testing.assert_array_equal(molecule, find_molecules(frame))
        moved = Frame(
            frame.numbers,
            frame.positions + np.array([3.0, 1.0, 2.0]),
            frame.cell,
            None,
            0,
        )
        np.testing.assert_array_equal(parent, find_bond_tree(moved)[1])
        assert (molecule[parent] == molecule).all()
        oxygen = frame.numbers == 8
        first = parent == np.arange(frame.n_atoms)
        assert first.sum() == 4
        assert (oxygen | oxygen[parent] | first).all()


def test_grouping_with_shells_survives_json_and_names_its_cells():
    frame, _, masses = solution()
    grouping = shell_grouping(frame, masses, "Na", (3.5, 5.5), 0.5)
    assert grouping.names == (
        "solute",
        "below 3.5 Å",
        "3.5 to 5.5 Å",
        "above 5.5 Å",
    )
    again = Grouping.from_dict(grouping.as_dict())
    assert again.as_dict() == grouping.as_dict()
    hydrogen, sodium, oxygen = (
        grouping.species_names.index(name) for name in ("H", "Na", "O")
    )
    shells = [(shell, s) for shell in (1, 2, 3) for s in sorted((hydrogen, oxygen))]
    assert grouping.cells == ((0, sodium), *shells)
    total = np.zeros(frame.n_atoms)
    for atoms, weights in again.memberships(frame):
        total[atoms] += weights
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-15)


def test_whole_molecules_of_the_chosen_atoms_are_the_solute():
    frame, _, masses = solution()
    oxygen = int(np.flatnonzero(frame.numbers == 8)[0])
    grouping = shell_grouping(frame, masses, f"index {oxygen}", (3.0,), 0.5)
    molecule = find_molecules(frame)
    inner = molecule == molecule[oxygen]
    np.testing.assert_array_equal(grouping.group == 0, inner)
    assert grouping.shells.centres.tolist() == [oxygen]


def test_shells_that_make_no_sense_are_explained():
    frame, _, masses = solution()
    with pytest.raises(SettingsError, match="no molecule O4S in the first frame"):
        shell_grouping(frame, masses, "O4S", (3.5,), 0.5)
    with pytest.raises(SettingsError, match="nothing to make shells of"):
        shell_grouping(frame, masses, "element O Na", (3.5,), 0.5)
