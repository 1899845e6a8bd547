"""Clusters: whole molecules, every image near the central one, in any cell."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mimyria.data.dataset import read_dataset
from mimyria.data.graph import neighbour_edges
from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.molecules import find_molecules, molecule_formulas
from mimyria.reference import ClusterSettings, cut_cluster, sample_clusters
from mimyria.settings.reader import read_section
from mimyria.targets import APT
from mimyria.tensors import Tensors

WATER = Path(__file__).parents[2] / "data" / "water16-rpbe" / "configurations.extxyz"
CELLS = {
    "cubic": np.eye(3) * 8.2,
    "triclinic": np.array([[8.3, 0.0, 0.0], [3.4, 7.6, 0.0], [-2.9, 2.1, 7.8]]),
    "left-handed": np.array([[0.5, 8.1, -0.6], [8.5, 0.9, 1.1], [-1.0, 1.4, 8.8]]),
}
GEOMETRY = {
    "H2O": ([8, 1, 1], [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]),
    "SO4": (
        [16, 8, 8, 8, 8],
        [
            [0, 0, 0],
            *(0.86 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])),
        ],
    ),
    "Na": ([11], [[0, 0, 0]]),
}


def liquid(cell, names, seed, pbc=(True, True, True)):
    """Molecules on eight sites: a frame of scattered images, whole positions, owner."""
    rng = np.random.default_rng(seed)
    sites = np.array(list(product((0.2, 0.7), repeat=3)))[: len(names)]
    numbers, whole, owner = [], [], []
    for k, (site, name) in enumerate(zip(sites, names, strict=True)):
        kinds, shape = GEOMETRY[name]
        turn = Rotation.random(random_state=int(rng.integers(1 << 30))).as_matrix()
        centre = (site + rng.uniform(-0.02, 0.02, 3)) @ cell
        whole.append(centre + np.array(shape, float) @ turn.T)
        numbers += kinds
        owner += [k] * len(kinds)
    positions = np.concatenate(whole)
    images = rng.integers(-2, 3, positions.shape) * np.array(pbc)
    scattered = positions + images @ cell
    frame = Frame(np.array(numbers), scattered, cell, None, 40, 2, pbc)
    return frame, positions, np.array(owner)


def brute_force(whole, owner, cell, pbc, central, radius):
    """Positions around the centre of all images of whole molecules near enough."""
    own = whole[owner == central]
    reach = [range(-3, 4) if repeats else range(1) for repeats in pbc]
    found = []
    for molecule in range(owner.max() + 1):
        for shift in product(*reach):
            atoms = whole[owner == molecule] + np.array(shift) @ cell
            distances = np.linalg.norm(atoms[:, None] - own, axis=2)
            if distances.min() < radius or (molecule == central and not any(shift)):
                found.append(atoms - own.mean(axis=0))
    return in_order(np.concatenate(found))


def in_order(rows):
    return rows[np.lexsort(np.round(rows, 6).T)]


@pytest.mark.parametrize("radius", [0.0, 3.0, 6.0])
@pytest.mark.parametrize("name", CELLS)
def test_clusters_are_those_of_a_search_over_all_images(name, radius):
    cell = CELLS[name]
    frame, whole, owner = liquid(cell, ["H2O"] * 6 + ["SO4", "Na"], seed=4)
    assert radius < 4 or radius > np.linalg.norm(cell, axis=1).min() / 2
    for central in (0, 5, 6, 7):
        cluster = cut_cluster(frame, central, radius)
        wanted = brute_force(whole, owner, cell, frame.pbc, central, radius)
        assert cluster.frame.n_atoms == len(wanted)
        assert np.abs(in_order(cluster.frame.positions) - wanted).max() < 1e-9
        assert np.array_equal(cluster.frame.numbers, frame.numbers[cluster.atoms])
        assert cluster.frame.pbc == (False, False, False)
        assert not cluster.frame.cell.any()


def test_open_directions_have_no_images():
    pbc = (True, False, True)
    cell = CELLS["triclinic"]
    frame, whole, owner = liquid(cell, ["H2O"] * 8, seed=2, pbc=pbc)
    cluster = cut_cluster(frame, 3, 6.0)
    assert cluster.volume is None
    found = cluster.frame.positions
    wanted = brute_force(whole, owner, cell, pbc, 3, 6.0)
    assert found.shape == wanted.shape
    assert np.abs(in_order(found) - wanted).max() < 1e-9


def test_a_rotated_frame_gives_the_rotated_cluster(rotation):
    frame, _, _ = liquid(CELLS["triclinic"], ["H2O"] * 8, seed=1)
    turned = Frame(
        frame.numbers,
        frame.positions @ rotation.T,
        frame.cell @ rotation.T,
        None,
        frame.step,
    )
    one, other = cut_cluster(frame, 2, 4.0), cut_cluster(turned, 2, 4.0)
    assert np.array_equal(one.atoms, other.atoms)
    difference = one.frame.positions @ rotation.T - other.frame.positions
    assert np.abs(difference).max() < 1e-9


def test_a_central_molecule_across_the_border_is_moved_only():
    frame, _, _ = liquid(CELLS["triclinic"], ["H2O"] * 8, seed=1)
    shift = np.array([0.21, 0.77, 0.35]) @ frame.cell
    wrapped = np.mod((frame.positions + shift) @ np.linalg.inv(frame.cell), 1.0)
    moved = Frame(frame.numbers, wrapped @ frame.cell, frame.cell, None, 0)
    for central in range(8):
        one, other = cut_cluster(frame, central, 3.5), cut_cluster(moved, central, 3.5)
        assert np.array_equal(one.atoms, other.atoms)
        assert np.abs(one.frame.positions - other.frame.positions).max() < 1e-9


def test_the_central_molecule_comes_first_and_alone_is_labelled():
    frame, _, owner = liquid(CELLS["cubic"], ["H2O"] * 8, seed=3)
    cluster = cut_cluster(frame, 4, 5.0, source=17)
    assert cluster.atoms[:3].tolist() == np.flatnonzero(owner == 4).tolist()
    assert np.flatnonzero(cluster.mask).tolist() == [0, 1, 2]
    assert np.abs(cluster.frame.positions[:3].mean(axis=0)).max() < 1e-12
    assert (cluster.frame.step, cluster.frame.replica) == (40, 2)
    assert (cluster.molecule, cluster.source, cluster.radius) == (4, 17, 5.0)


def test_a_molecule_may_occur_several_times_and_its_images_have_no_labels():
    frame, _, _ = liquid(np.eye(3) * 5.0, ["H2O"], seed=0)
    cluster = cut_cluster(frame, 0, 4.9)
    assert cluster.atoms.tolist() == [0, 1, 2] * 7
    assert cluster.mask.sum() == 3
    assert cluster.volume == pytest.approx(7 * 125.0)
    places = cluster.frame.positions.reshape(7, 3, 3) - cluster.frame.positions[:3]
    assert sorted(np.round(places[:, 0], 9).tolist()) == sorted(
        [[0, 0, 0], *np.kron([[5], [-5]], np.eye(3)).tolist()]
    )


def test_a_cluster_is_the_beginning_of_every_larger_one():
    frame, _, _ = liquid(CELLS["left-handed"], ["H2O"] * 8, seed=5)
    clusters = [cut_cluster(frame, 1, radius) for radius in (0.0, 3.5, 4.5, 6.0)]
    sizes = [cluster.frame.n_atoms for cluster in clusters]
    assert sizes[0] == 3
    assert sizes == sorted(set(sizes))
    largest = clusters[-1]
    for cluster, size in zip(clusters, sizes, strict=True):
        assert np.array_equal(cluster.atoms, largest.atoms[:size])
        assert np.array_equal(cluster.frame.positions, largest.frame.positions[:size])


def test_the_central_molecule_has_the_neighbours_that_it_has_in_the_liquid():
    frame = next(read_extxyz(WATER)).frame
    for central in (0, 9):
        cluster = cut_cluster(frame, central, 5.0)
        own = np.flatnonzero(find_molecules(frame) == central)
        rows = []
        for case, atoms in ((frame, own), (cluster.frame, np.arange(3))):
            i, j, vectors = neighbour_edges(case, 5.0)
            for number, atom in enumerate(atoms):
                here = i == atom
                numbers = np.full(here.sum(), number), case.numbers[j[here]]
                rows.append(np.column_stack([*numbers, vectors[here]]))
        inside, outside = np.concatenate(rows[:3]), np.concatenate(rows[3:])
        assert inside.shape == outside.shape
        assert len(inside) > 100
        assert np.abs(in_order(inside) - in_order(outside)).max() < 1e-9


def test_the_molecules_of_a_cluster_are_those_of_the_liquid():
    frame, _, _ = liquid(CELLS["cubic"], ["H2O"] * 6 + ["SO4", "Na"], seed=4)
    cluster = cut_cluster(frame, 6, 5.0)
    formulas = molecule_formulas(cluster.frame.numbers, find_molecules(cluster.frame))
    assert formulas[0] == "O4S"
    assert set(formulas) == {"H2O", "O4S", "Na"}


def test_charges_of_all_molecules_of_the_cluster_add_up():
    frame, _, _ = liquid(CELLS["cubic"], ["H2O"] * 5 + ["SO4", "Na", "Na"], seed=4)
    charges = ClusterSettings(charges=("SO4: -2", "Na: +1")).charge_of
    assert charges == {"O4S": -2, "Na": 1}
    assert cut_cluster(frame, 5, 0.0, charges=charges).charge == -2
    assert cut_cluster(frame, 6, 0.0, charges=charges).charge == 1
    assert cut_cluster(frame, 0, 0.0, charges=charges).charge == 0
    assert cut_cluster(frame, 5, 0.0).charge == 0
    cluster = cut_cluster(frame, 5, 6.0, charges=charges)
    found = molecule_formulas(cluster.frame.numbers, find_molecules(cluster.frame))
    assert found.count("O4S") > 1
    assert cluster.charge == found.count("Na") - 2 * found.count("O4S")


def test_the_choice_is_seeded_and_each_frame_has_its_own():
    frame, _, owner = liquid(CELLS["cubic"], ["H2O"] * 8, seed=3)

    def chosen(source=0, **settings):
        settings = ClusterSettings(radius=0.0, **settings)
        clusters = sample_clusters(frame, source, settings)
        for cluster in clusters:
            assert owner[cluster.atoms].tolist() == [cluster.molecule] * 3
            assert cluster.source == source
        return [cluster.molecule for cluster in clusters]

    assert chosen(per_frame=3) == chosen(per_frame=3)
    assert len(set(chosen(per_frame=3))) == 3
    assert chosen(per_frame=99) == list(range(8))
    assert len({tuple(chosen(seed=k)) for k in range(20)}) > 3
    assert len({tuple(chosen(source=k)) for k in range(20)}) > 3


def test_molecules_are_chosen_by_formula_in_any_order_of_elements():
    frame, _, _ = liquid(CELLS["cubic"], ["H2O"] * 6 + ["SO4", "Na"], seed=4)

    def formulas(*wanted, per_frame=2):
        settings = ClusterSettings(0.0, per_frame=per_frame, molecules=wanted)
        return [
            molecule_formulas(c.frame.numbers, np.zeros(c.frame.n_atoms, int))[0]
            for c in sample_clusters(frame, 0, settings)
        ]

    assert formulas("SO4") == formulas("O4S") == ["O4S"]
    assert formulas("H2O", "SO4") == ["H2O", "H2O", "O4S"]
    assert formulas() == ["H2O", "H2O", "Na", "O4S"]
    with pytest.raises(SettingsError, match=r"names H3N, .* only H2O, Na, O4S"):
        formulas("NH3")


def test_an_endless_chain_is_refused():
    chain = np.column_stack([np.arange(4) * 1.5, np.zeros(4), np.zeros(4)])
    cell = np.diag([6.0, 20.0, 20.0])
    frame = Frame(np.full(4, 6), chain, cell, None, 5)
    with pytest.raises(FrameError, match=r"step 5: .* bonded to its own image"):
        cut_cluster(frame, 0, 3.0)
    longer = Frame(frame.numbers, chain, cell + np.diag([2.0, 0, 0]), None, 5)
    assert cut_cluster(longer, 0, 4.0).frame.n_atoms == 12


def test_molecules_that_are_not_there_and_broken_frames_are_refused():
    frame, _, _ = liquid(CELLS["cubic"], ["H2O"] * 8, seed=3)
    with pytest.raises(SettingsError, match="between 0 and 7, but is 8"):
        cut_cluster(frame, 8, 3.0)
    positions = frame.positions.copy()
    positions[2, 1] = np.nan
    broken = Frame(frame.numbers, positions, frame.cell, None, 0)
    with pytest.raises(FrameError, match="positions must be finite"):
        cut_cluster(broken, 0, 3.0)


def test_a_labelled_cluster_comes_back_from_a_file(rng, tmp_path):
    frame, _, _ = liquid(CELLS["cubic"], ["H2O"] * 8, seed=3)
    cluster = cut_cluster(frame, 4, 3.0, source=17)
    tensors = Tensors(rng.normal(size=(cluster.frame.n_atoms, 3, 3)))
    path = tmp_path / "clusters.extxyz"
    masks = {"apt": cluster.mask}
    write_extxyz(path, [LabelledFrame(cluster.frame, tensors, cluster.info(), masks)])
    read = next(read_extxyz(path))
    assert read.info["cluster_atoms"].tolist() == cluster.atoms.tolist()
    assert read.info["cluster_frame"] == 17
    assert read.info["cluster_molecule"] == 4
    assert read.info["cluster_radius"] == 3.0
    assert read.info["charge"] == 0
    assert np.array_equal(read.frame.positions, cluster.frame.positions)
    dataset = read_dataset(path, (APT,))
    assert dataset.labelled[0].tolist() == [0, 1, 2]
    assert np.array_equal(dataset.labels[0][:3], tensors.apt[:3].reshape(3, 9))


def test_settings_are_read_from_a_section():
    values = {"radius": 6, "molecules": ["H2O", "SO4"], "charges": ["SO4: -2"]}
    settings = read_section(ClusterSettings, "clusters", values, Path())
    assert settings.radius == 6.0
    assert settings.formulas == ("H2O", "O4S")
    assert settings.charge_of == {"O4S": -2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radius": -1.0}, "clusters.radius must be 0 or more"),
        ({"per_frame": 0}, "clusters.per_frame must be above zero"),
        ({"bond_factor": 0.0}, "clusters.bond_factor must be above zero"),
        ({"seed": -1}, "clusters.seed must be 0 or more"),
        ({"molecules": ["water"]}, "'water' is not the formula of a molecule"),
        ({"molecules": ["Xx2"]}, "'Xx2' is not the formula"),
        ({"molecules": ["H2O", "OH2"]}, "name each formula once"),
        ({"charges": ["SO4 -2"]}, "'SO4 -2' is none. Write for example 'SO4: -2'"),
        ({"charges": ["Na: 0.5"]}, "with a whole number"),
        ({"charges": ["Na: 1", "Na: 2"]}, "must name Na once"),
        ({"radii": 3.0}, "clusters.radii"),
    ],
)
def test_bad_settings_are_refused_by_name(values, message):
    with pytest.raises(SettingsError, match=message):
        read_section(ClusterSettings, "clusters", values, Path())
