from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.data import atomic_masses, chemical_symbols

from mimyria.errors import FormatError, SettingsError, ShapeError
from mimyria.frame import Frame
from mimyria.groupdifferences import group_difference
from mimyria.groups import Grouping, group_atoms
from mimyria.molecules import find_molecules, molecule_formulas
from mimyria.probes import Probes
from mimyria.selections import (
    molecule_labels,
    selection_labels,
    shell_grouping,
    solute_labels,
)

CELL = np.array([[9.0, 0.0, 0.0], [4.0, 8.0, 0.0], [-3.0, 2.5, 8.5]])


def mixture(cell=CELL, seed=0, rotation=None, pbc=(True, True, True)):
    """Water, methanol, water, sodium and chloride, shuffled, anywhere in space."""
    rng = np.random.default_rng(seed)
    places = np.array([[0.05, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.98], [0.5, 0, 0.5]])
    numbers, positions, labels = [], [], []
    for index, name in enumerate(["H2O", "CH3OH", "H2O"]):
        atoms = molecule(name)
        atoms.rotate(rng.uniform(0, 180), rng.normal(size=3))
        numbers += atoms.numbers.tolist()
        positions.append(
            atoms.positions - atoms.positions.mean(0) + places[index] @ cell
        )
        labels += [index] * len(atoms)
    numbers += [11, 17]
    # Sodium 2.3 Å from the first oxygen, as in solution, is not bonded to it.
    positions += [positions[0][:1] + np.array([0, 0, 2.3]), (places[3] @ cell)[None]]
    labels += [3, 4]
    positions = np.concatenate(positions)
    positions = positions + rng.integers(-3, 4, positions.shape) @ cell
    if rotation is not None:
        positions, cell = positions @ rotation.T, cell @ rotation.T
    order = rng.permutation(len(numbers))
    frame = Frame(np.array(numbers)[order], positions[order], cell, None, 0, pbc=pbc)
    return frame, np.array(labels)[order]


def same_partition(first, second):
    return all(
        np.array_equal(first == first[i], second == second[i])
        for i in range(len(first))
    )


@pytest.mark.parametrize("seed", range(6))
def test_molecules_are_found_in_a_triclinic_cell_wherever_their_atoms_are(seed):
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    for frame, labels in (mixture(seed=seed), mixture(seed=seed, rotation=rotation)):
        molecules = find_molecules(frame)
        assert same_partition(molecules, labels)
        firsts = [int(np.argmax(molecules == m)) for m in range(molecules.max() + 1)]
        assert firsts == sorted(firsts)
        formulas = molecule_formulas(frame.numbers, molecules)
        assert sorted(formulas) == ["CH4O", "Cl", "H2O", "H2O", "Na"]


def test_molecule_as_long_as_the_cell_is_found_through_the_border():
    """A chain of carbon atoms that closes over the border of a small cell."""
    cell = np.diag([3.0, 12.0, 12.0])
    positions = np.array([[0.0, 1, 1], [1.5, 1, 1], [0.0, 7, 7]])
    frame = Frame(np.array([6, 6, 8]), positions, cell, None, 0)
    assert find_molecules(frame).tolist() == [0, 0, 1]
    apart = Frame(np.array([1, 1]), np.array([[0.1, 0, 0], [2.6, 0, 0]]), cell, None, 0)
    assert find_molecules(apart).tolist() == [0, 0]
    wall = Frame(apart.numbers, apart.positions, cell, None, 0, pbc=(False, True, True))
    assert find_molecules(wall).tolist() == [0, 1]


def test_bond_factor_must_be_positive():
    with pytest.raises(SettingsError, match="bond factor must be above 0"):
        find_molecules(mixture()[0], 0.0)


def test_molecules_and_solute_name_every_atom():
    frame, labels = mixture()
    names = molecule_labels(frame)
    assert {names[i] for i in np.flatnonzero(labels == 1)} == {"CH4O"}
    solute = solute_labels(frame, ["CH4O"])
    assert [label == "solute" for label in solute] == (labels == 1).tolist()
    with pytest.raises(
        SettingsError, match="no molecule SO4 in the first frame; there"
    ):
        solute_labels(frame, ["SO4"])


def test_first_selection_that_fits_counts():
    frame, _ = mixture()
    lines = ["first: index 0-1 3", "ions: element Na Cl", "water: molecule H2O"]
    found = selection_labels(frame, lines)
    assert found[0] == found[1] == found[3] == "first"
    assert set(found) == {"first", "ions", "water", "rest"}
    assert selection_labels(frame, ["a: id 1-2"])[:3] == ["a", "a", "rest"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("water", "a selection must read 'NAME: RULE ...'"),
        ("x: colour red", "a selection must read"),
        ("x: index 3-1", "must lie between 0 and"),
        ("x: id 0", "must lie between 1 and"),
        ("x: index a", "must be a number, or two"),
        ("x: element Xe", "there is no element Xe in the first frame"),
    ],
)
def test_selections_that_make_no_sense_are_explained(line, message):
    with pytest.raises(SettingsError, match=message):
        selection_labels(mixture()[0], [line])


def test_selection_without_an_atom_of_its_own_is_refused():
    with pytest.raises(SettingsError, match="names no atom that is not in a group"):
        selection_labels(mixture()[0], ["a: index 0-4", "b: index 1-2"])


def test_grouping_survives_json_and_counts_cells():
    grouping = group_atoms(
        ["b", "a", "b", "b"], ["H", "H", "O", "H"], np.arange(1.0, 5)
    )
    again = Grouping.from_dict(grouping.as_dict())
    assert again.as_dict() == grouping.as_dict()
    assert grouping.names == ("a", "b")
    assert grouping.cells == ((0, 0), (1, 0), (1, 1))
    assert [atoms.tolist() for atoms in grouping.atoms] == [[1], [0, 3], [2]]
    assert grouping.total_mass == 10.0
    with pytest.raises(FormatError, match="needs the entry 'masses'"):
        Grouping.from_dict(
            {k: v for k, v in grouping.as_dict().items() if k != "masses"}
        )
    with pytest.raises(ShapeError, match="must name the same atoms"):
        group_atoms(["a"], ["H", "O"], np.ones(2))
    with pytest.raises(SettingsError, match="cannot be named 'a/b'"):
        group_atoms(["a/b"], ["H"], np.ones(1))


def test_groups_that_are_the_same_do_not_differ():
    """However well self terms are measured, and whichever tree of bonds there is."""
    frame, _ = mixture()
    labels = molecule_labels(frame)
    symbols = [chemical_symbols[number] for number in frame.numbers]
    masses = atomic_masses[frame.numbers]
    base = group_atoms(labels, symbols, masses)
    molecules = find_molecules(frame)
    assert group_difference(base, base) is None
    assert group_difference(base, replace(base, masses=1.0005 * masses)) is None
    few, many = (
        replace(base, probes=Probes(molecules, n, 10 * n)) for n in (4, 16)
    )  # fmt: skip
    assert group_difference(few, many) is None
    shells = shell_grouping(frame, masses, "element Na", (3.5, 5.5), 0.5)
    tree = replace(shells.shells, parent=shells.shells.parent[::-1].copy())
    assert group_difference(shells, replace(shells, shells=tree)) is None


def test_the_first_difference_of_two_groupings_is_named():
    frame, _ = mixture()
    labels, symbols = ["a", "a", "b", "b"], ["O", "H", "H", "O"]
    masses = np.array([16.0, 1.0, 1.0, 16.0])
    base = group_atoms(labels, symbols, masses)
    probed = replace(base, probes=Probes(np.array([0, 0, 1, 1]), 4, 10))
    other = replace(base, probes=Probes(np.array([0, 1, 1, 1]), 4, 10))
    heavy = np.array([16.0, 2.014, 1.0, 16.0])
    around = [
        shell_grouping(frame, atomic_masses[frame.numbers], *words)
        for words in (
            ("element Na", (3.5, 5.5), 0.5),
            ("element Na", (3.5, 5.0), 0.5),
            ("element Na", (3.5, 5.5), 0.4),
        )
    ]
    centres = replace(around[0].shells, centres=np.array([3]))
    cases = [
        (base, group_atoms(labels[1:], symbols[1:], masses[1:]), "4 and 3 atoms"),
        (base, group_atoms(labels, ["O", "H", "O", "H"], masses), "2 is H and O"),
        (base, group_atoms(labels, symbols, heavy), "mass of atom 1 is 1 and 2.014"),
        (base, group_atoms(["a", "b", "b", "b"], symbols, masses), "1 is in 'a' and"),
        (probed, other, "atom 1 belongs to molecule 0 and 1: bonds differ"),
        (around[0], around[1], "shells end at 3.5, 5.5 and 3.5, 5 Å"),
        (around[0], around[2], "borders of the shells are 0.5 and 0.4 Å wide"),
        (around[0], replace(around[0], shells=centres), "shells lie around the atoms"),
        (around[0], replace(around[0], shells=None), "one has shells whose members"),
    ]
    for one, two, text in cases:
        assert text in group_difference(one, two)
