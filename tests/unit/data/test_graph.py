"""Neighbour graphs against a brute-force search over all images."""

import numpy as np
import pytest

from mimyria.data import batch_graph, neighbour_edges
from mimyria.errors import ModelError
from mimyria.frame import Frame

CELLS = {
    "cubic": np.eye(3) * 5.0,
    "flat": np.diag([3.0, 9.0, 4.0]),
    "triclinic": np.array([[4.0, 0.0, 0.0], [3.1, 3.3, 0.0], [-2.5, 1.9, 3.6]]),
    "left-handed": np.array([[0.2, 4.8, -0.3], [4.1, 0.4, 0.9], [0.7, -0.6, 5.2]]),
}


def brute_force(frame, cutoff):
    """All pairs over enough images, by five loops."""
    heights = frame.volume / np.array(
        [
            np.linalg.norm(np.cross(frame.cell[(k + 1) % 3], frame.cell[(k + 2) % 3]))
            for k in range(3)
        ]
    )
    fractional = frame.positions @ np.linalg.inv(frame.cell)
    spread = np.ceil(np.ptp(fractional, axis=0))
    reach = np.where(frame.pbc, np.ceil(cutoff / heights) + spread + 1, 0).astype(int)
    found = []
    for a in range(-reach[0], reach[0] + 1):
        for b in range(-reach[1], reach[1] + 1):
            for c in range(-reach[2], reach[2] + 1):
                shift = np.array([a, b, c]) @ frame.cell
                for i, r_i in enumerate(frame.positions):
                    for j, r_j in enumerate(frame.positions):
                        vector = r_j - r_i + shift
                        if 1e-9 < np.linalg.norm(vector) < cutoff:
                            found.append((i, j, *vector))
    return in_order(found)


def in_order(edges):
    """Rows (i, j, x, y, z), sorted so that rounding cannot change the order."""
    rows = np.array(edges, dtype=float).reshape(-1, 5)
    return rows[np.lexsort((np.round(rows, 6) + 0.0).T[::-1])]


def rows_of(receivers, senders, vectors):
    return in_order(np.column_stack([receivers, senders, vectors]))


def assert_same_edges(found, wanted):
    assert found.shape == wanted.shape
    assert len(found) > 0
    assert np.abs(found - wanted).max() < 1e-9


def random_frame(cell, seed, *, pbc=(True, True, True), unwrapped=False, n_atoms=5):
    rng = np.random.default_rng(seed)
    fractional = rng.random((n_atoms, 3))
    if unwrapped:
        fractional += rng.integers(-2, 3, (n_atoms, 3))
    return Frame(np.full(n_atoms, 8), fractional @ cell, cell, None, 0, pbc=pbc)


@pytest.mark.parametrize("cutoff", [2.0, 4.5, 6.5])
@pytest.mark.parametrize("unwrapped", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_all_images_are_found_also_beyond_half_the_box(name, unwrapped, cutoff):
    frame = random_frame(CELLS[name], 3, unwrapped=unwrapped)
    edges = rows_of(*neighbour_edges(frame, cutoff))
    assert_same_edges(edges, brute_force(frame, cutoff))


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, True, False)])
def test_directions_that_do_not_repeat_have_no_images(pbc):
    frame = random_frame(CELLS["cubic"], 5, pbc=pbc)
    edges = rows_of(*neighbour_edges(frame, 6.0))
    assert_same_edges(edges, brute_force(frame, 6.0))


def test_single_atom_sees_its_own_images():
    frame = Frame(np.array([8]), np.zeros((1, 3)), np.eye(3) * 2.0, None, 0)
    receivers, senders, vectors = neighbour_edges(frame, 2.1)
    assert receivers.tolist() == senders.tolist() == [0] * 6
    assert np.allclose(np.linalg.norm(vectors, axis=1), 2.0)


def test_receivers_rise_and_every_edge_has_its_reverse():
    receivers, senders, vectors = neighbour_edges(random_frame(CELLS["cubic"], 1), 4.0)
    assert (np.diff(receivers) >= 0).all()
    back = rows_of(senders, receivers, -vectors)
    assert_same_edges(rows_of(receivers, senders, vectors), back)


def test_batch_shifts_indices_and_joins_no_frames():
    frames = [random_frame(CELLS["cubic"], k, n_atoms=4 + k) for k in range(3)]
    graph = batch_graph(frames, [1, 8], 3.0)
    assert graph.sizes == (4, 5, 6)
    assert graph.species.tolist() == [1] * 15
    owner = np.repeat(np.arange(3), graph.sizes)
    assert np.array_equal(owner[graph.receivers], owner[graph.senders])
    assert graph.n_edges == sum(len(neighbour_edges(f, 3.0)[0]) for f in frames)


def test_unknown_elements_are_named():
    frame = Frame(np.array([1, 11, 17]), np.eye(3), np.eye(3) * 9, None, 0)
    with pytest.raises(ModelError, match=r"elements H, O, but .* holds Na, Cl"):
        batch_graph([frame], [1, 8], 3.0)
