"""A list that is reused gives what a new search gives, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from mimyria.data import neighbours
from mimyria.data.neighbours import NeighbourList, NeighbourLists
from mimyria.frame import Frame

CELLS = {
    "cubic": np.eye(3) * 9.0,
    "triclinic": np.array([[9.0, 0.0, 0.0], [4.0, 8.0, 0.0], [-3.0, 2.5, 7.0]]),
    "left-handed": np.array([[0.3, 0.2, 7.1], [0.4, 6.8, -0.2], [8.0, 1.0, 0.5]]),
    "small": np.array([[4.0, 0.0, 0.2], [0.9, 4.1, 0.0], [0.0, 0.3, 3.8]]),
}


def trajectory(cell, wrapped, n_frames=25, pbc=(True, True, True)):
    """Atoms that drift far enough to cross boundaries and outrun any skin."""
    rng = np.random.default_rng(4)
    positions = rng.uniform(-1, 2, (20, 3)) @ cell
    drift = rng.normal(size=(20, 3)) * 0.04
    frames = []
    for step in range(n_frames):
        shown = positions
        if wrapped:
            shown = (positions @ np.linalg.inv(cell) % 1.0) @ cell
        frames.append(Frame(np.full(20, 8), shown, cell, None, step, pbc=pbc))
        positions = positions + drift + rng.normal(size=(20, 3)) * 0.01
    return frames


def assert_same_bits(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@pytest.fixture
def searches(monkeypatch):
    """Counts searches."""
    counted, search = [], neighbours._searched

    def counting(*arguments):
        counted.append(1)
        return search(*arguments)

    monkeypatch.setattr(neighbours, "_searched", counting)
    return counted


@pytest.mark.parametrize("wrapped", [False, True], ids=["unwrapped", "wrapped"])
@pytest.mark.parametrize("cell", CELLS)
def test_reused_list_equals_a_new_search(cell, wrapped, searches):
    frames = trajectory(CELLS[cell], wrapped)
    reused = NeighbourList(4.0)
    found = [reused.edges(frame) for frame in frames]
    assert len(searches) < len(frames) / 2
    for frame, edges in zip(frames, found, strict=True):
        assert_same_bits(edges, NeighbourList(4.0, skin=0.0).edges(frame))


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, False, True)])
def test_reused_list_equals_a_new_search_where_axes_do_not_repeat(pbc, searches):
    frames = trajectory(CELLS["triclinic"], wrapped=False, pbc=pbc)
    reused = NeighbourList(4.0)
    found = [reused.edges(frame) for frame in frames]
    assert len(searches) < len(frames) / 2
    for frame, edges in zip(frames, found, strict=True):
        assert_same_bits(edges, NeighbourList(4.0, skin=0.0).edges(frame))


def test_edges_are_ordered_by_receiver_sender_and_image():
    frame = trajectory(CELLS["small"], wrapped=True)[0]
    receivers, senders, vectors = NeighbourList(5.0).edges(frame)
    assert len(receivers) > 20 * 20
    assert (np.diff(receivers * 20 + senders) >= 0).all()
    assert (np.linalg.norm(vectors, axis=1) < 5.0).all()
    ends = frame.positions[receivers] + vectors - frame.positions[senders]
    images = ends @ np.linalg.inv(frame.cell)
    assert np.abs(images - np.rint(images)).max() < 1e-12


def test_another_cell_or_number_of_atoms_begins_anew(searches):
    frames = trajectory(CELLS["cubic"], wrapped=False)[:3]
    stretched = replace(frames[0], cell=frames[0].cell * 1.01)
    fewer = Frame(
        frames[0].numbers[1:], frames[0].positions[1:], frames[0].cell, None, 0
    )
    reused = NeighbourList(4.0)
    for frame in (*frames, stretched, fewer, frames[0]):
        edges = reused.edges(frame)
        assert_same_bits(edges, NeighbourList(4.0, skin=0.0).edges(frame))


def test_frames_that_do_not_follow_each_other_are_searched_without_a_skin(searches):
    frames = trajectory(CELLS["cubic"], wrapped=False, n_frames=100)[::20]
    reused = NeighbourList(4.0)
    for frame in frames:
        reused.edges(frame)
        assert reused._search.skin == 0.0
    assert len(searches) == len(frames)


def test_replicas_have_lists_of_their_own_and_only_the_latest_are_kept(searches):
    one, other = (trajectory(CELLS[cell], wrapped=True) for cell in ("cubic", "small"))
    lists = NeighbourLists(4.0)
    for first, second in zip(one, other, strict=True):
        edges = lists.edges(first), lists.edges(replace(second, replica=1))
        for found, frame in zip(edges, (first, second), strict=True):
            assert_same_bits(found, NeighbourList(4.0, skin=0.0).edges(frame))
    for replica in range(200):
        lists.edges(replace(one[0], replica=replica))
    assert len(lists._lists) == 64


def test_no_atoms_and_lone_atoms_have_no_edges():
    for positions in (np.zeros((0, 3)), np.zeros((1, 3))):
        numbers = np.full(len(positions), 8)
        frame = Frame(numbers, positions, np.zeros((3, 3)), None, 0, pbc=(False,) * 3)
        receivers, senders, vectors = NeighbourList(4.0).edges(frame)
        assert len(receivers) == len(senders) == 0
        assert vectors.shape == (0, 3)
