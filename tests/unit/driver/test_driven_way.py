"""The dipole along the way of the atoms: its value, its memory, what it refuses."""

import os

import numpy as np
import pytest

from mimyria.errors import FrameError, JournalError, LockedError, OutputError
from mimyria.frame import Frame
from mimyria_driver.driven.way import Evaluated, Way
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.ipi.units import in_angstrom

NUMBERS = np.array([8, 1, 1])
CELL = np.array([[20.0, 3.0, -2.0], [0.0, 21.0, 1.0], [0.0, 0.0, 22.0]])  # columns
START = np.array([1.0, -2.0, 0.5])
REST = np.random.default_rng(5).uniform(0.0, 19.0, (3, 3))


def swirl(positions):
    """A tensor that is no derivative: the way counts, not its end alone."""
    x, y, z = positions.T
    apt = np.zeros((len(positions), 3, 3))
    apt[:, 0, 0], apt[:, 0, 1], apt[:, 1, 2], apt[:, 2, 0] = np.sin(y), x, 1 + z, -y
    return apt


def evaluate(request):
    positions, cell = in_angstrom(request.positions, request.cell)
    frame = Frame(NUMBERS, positions, cell, None, 0)
    # Of the nearest image, as a model of ours has it.
    fractional = positions @ np.linalg.inv(cell)
    return Evaluated(request, frame, swirl((fractional % 1.0) @ cell))


def configuration(step, rid=1, cell=CELL):
    angles = 0.15 * step * np.array([[1.0, 0.7, 0.4], [0.9, 1.3, 0.2], [0.5, 0.6, 1.0]])
    positions = REST + 0.4 * np.sin(angles)
    return evaluate(Positions(rid, cell.tobytes(), positions.tobytes(), 3))


def along(way, steps):
    return [way.dipole(configuration(step), evaluate) for step in steps]


def by_hand(n_steps):
    """The same sum, written out."""
    values = [START]
    for step in range(1, n_steps):
        before, after = configuration(step - 1), configuration(step)
        moved = after.frame.positions - before.frame.positions
        change = np.zeros(3)
        for a in range(3):
            for i in range(3):
                for b in range(3):
                    mean = (before.apt[i, a, b] + after.apt[i, a, b]) / 2
                    change[a] += mean * moved[i, b]
        values.append(values[-1] + change)
    return values


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "way"


@pytest.fixture
def open_way(folder):
    opened = []

    def make(**changes):
        for each in opened:
            each.close()
        opened.clear()
        way = Way(folder, changes.get("n_atoms", 3), changes.get("start", START))
        opened.append(way)
        return way

    yield make
    for each in opened:
        each.close()


def test_the_dipole_is_the_sum_of_mean_tensors_times_ways(open_way):
    np.testing.assert_allclose(along(open_way(), range(60)), by_hand(60), atol=1e-13)


def folded(step):
    """A configuration in another image of the cell for each atom and step."""
    positions = np.frombuffer(configuration(step).request.positions).reshape(-1, 3)
    shifts = np.random.default_rng(step).integers(-1, 2, (3, 3))
    moved = positions + shifts @ CELL.T
    return evaluate(Positions(1, CELL.tobytes(), moved.tobytes(), 3))


def test_images_of_the_atoms_make_no_difference(open_way):
    way = open_way()
    values = [way.dipole(folded(step), evaluate) for step in range(20)]
    np.testing.assert_allclose(values, by_hand(20), atol=1e-10)


def test_another_process_goes_on_where_one_was_killed(open_way):
    whole = by_hand(30)
    along(open_way(), range(20))
    # A start that is given again means nothing: the way has begun.
    again = along(open_way(start=np.zeros(3)), range(20, 30))
    np.testing.assert_allclose(again, whole[20:], atol=1e-13)


def test_a_configuration_that_is_sent_again_has_its_value(open_way):
    values = along(open_way(), range(20))
    way = open_way()
    np.testing.assert_array_equal(along(way, [19])[0], values[19])
    way.connected()
    np.testing.assert_array_equal(along(way, [19])[0], values[19])
    np.testing.assert_allclose(along(way, [20])[0], by_hand(21)[20], atol=1e-13)


def test_an_engine_that_goes_back_gets_the_values_that_it_had(open_way):
    way = open_way()
    values = along(way, range(40))
    way.connected()
    np.testing.assert_array_equal(along(way, range(12, 40)), values[12:])


def test_the_way_counts_and_not_its_end_alone(open_way):
    """So that only what is remembered can be the value that a checkpoint had."""
    way = open_way()
    values = along(way, range(6))
    back = way.dipole(configuration(0), evaluate)  # as a step, straight from the end
    assert np.abs(back - values[0]).max() > 1e-4


def test_a_long_way_takes_no_memory(open_way):
    way = open_way()
    along(way, range(100))
    assert len(way._spool.kept) <= 3


def test_two_processes_do_not_share_a_folder(open_way, folder):
    open_way()
    with pytest.raises(LockedError, match="another process keeps its dipole here"):
        Way(folder, 3, START)


def test_a_jump_to_where_nothing_was_is_refused(open_way):
    way = open_way()
    along(way, range(3))
    with pytest.raises(FrameError, match=r"lies 0\.\d+ Å from where it was"):
        along(way, [30])
    # And so it is for a new connection, and for a new process.
    way.connected()
    with pytest.raises(FrameError, match="give an empty folder"):
        along(way, [30])
    with pytest.raises(FrameError, match="give an empty folder"):
        along(open_way(), [30])


def test_a_second_bead_is_refused(open_way):
    way = open_way()
    along(way, range(2))
    with pytest.raises(FrameError, match="asks for bead 4 beside 1"):
        way.dipole(configuration(2, rid=4), evaluate)


def test_a_cell_that_changes_is_refused(open_way):
    way = open_way()
    along(way, range(2))
    with pytest.raises(FrameError, match="cell of constant size only"):
        way.dipole(configuration(2, cell=1.001 * CELL), evaluate)


def test_a_value_that_is_damaged_is_not_used(open_way, folder):
    along(open_way(), range(20))
    data = bytearray((folder / "dipoles").read_bytes())
    data[19 * (len(data) // 20) + 12] ^= 1
    (folder / "dipoles").write_bytes(data)
    with pytest.raises(JournalError, match="is damaged: step 19"):
        along(open_way(), [20])


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/way: the dipole cannot be kept here"):
        Way(tmp_path / "file" / "way", 3, START)


def test_the_files_are_the_users_alone(open_way, folder):
    along(open_way(), range(2))
    for name in os.listdir(folder):
        assert (folder / name).stat().st_mode & 0o077 == 0, name
