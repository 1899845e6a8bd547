"""Uncertain frames: counted, and the worst kept once, whatever happens between."""

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria.io import read_extxyz
from mimyria_driver.uncertain import UNCERTAIN_NAME, UncertainFrames


def frame_of(step):
    positions = np.array([[0.0, 0.0, 0.1 * step], [0.9, 0.0, 0.0]])
    return Frame(np.array([8, 1]), positions, 9 * np.eye(3), np.ones((2, 3)), step)


def watcher(folder, most=3):
    """Half a picosecond is a thousand steps."""
    return UncertainFrames(folder, 2.0, most, 0.5)


def kept(folder):
    return {
        labelled.frame.step: labelled.info["uncertainty"]
        for labelled in read_extxyz(folder / UNCERTAIN_NAME)
    }


def test_certain_frames_leave_nothing(tmp_path, caplog):
    frames = watcher(tmp_path)
    frames.look(frame_of(4), 1.9)
    frames.write()
    assert (frames.count, frames.worst) == (0, 1.9)
    assert not (tmp_path / UNCERTAIN_NAME).exists()
    assert not caplog.records


def test_uncertain_frames_are_counted_said_once_and_kept(tmp_path, caplog):
    frames = watcher(tmp_path)
    for step, excess in ((0, 2.5), (5000, 3.5)):
        frames.look(frame_of(step), excess)
    frames.write()
    assert frames.count == 2
    assert kept(tmp_path) == {0: 2.5, 5000: 3.5}
    (found, *_) = read_extxyz(tmp_path / UNCERTAIN_NAME)
    np.testing.assert_array_equal(found.frame.positions, frame_of(0).positions)
    np.testing.assert_array_equal(found.frame.cell, frame_of(0).cell)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "step 0 is unlike what the networks were trained on" in caplog.text


def test_of_close_frames_the_worst_stays(tmp_path):
    frames = watcher(tmp_path)
    for step, excess in ((0, 2.5), (400, 4.0), (800, 3.0), (1400, 3.0)):
        frames.look(frame_of(step), excess)
    frames.write()
    assert kept(tmp_path) == {400: 4.0, 1400: 3.0}
    assert frames.count == 4


def test_no_more_than_wanted_and_the_worst_of_them(tmp_path):
    frames = watcher(tmp_path)
    for number, excess in enumerate((3.0, 5.0, 4.0, 2.5, 6.0)):
        frames.look(frame_of(2000 * number), excess)
    frames.write()
    assert kept(tmp_path) == {2000: 5.0, 4000: 4.0, 8000: 6.0}


def test_a_later_start_goes_on_with_the_same_file(tmp_path):
    first = watcher(tmp_path)
    first.look(frame_of(0), 3.0)
    first.write()
    second = watcher(tmp_path)
    for step, excess in ((0, 3.0), (2000, 4.0)):
        second.look(frame_of(step), excess)
    second.write()
    assert kept(tmp_path) == {0: 3.0, 2000: 4.0}


def test_nothing_is_kept_where_nothing_is_wanted(tmp_path):
    frames = watcher(tmp_path, most=0)
    frames.look(frame_of(0), 9.0)
    frames.write()
    assert frames.count == 1
    assert not (tmp_path / UNCERTAIN_NAME).exists()


@pytest.mark.parametrize("content", ["2\nnonsense\n", "1\n\nO 0 0 0\n"])
def test_a_file_that_somebody_changed_is_put_aside(tmp_path, caplog, content):
    (tmp_path / UNCERTAIN_NAME).write_text(content)
    frames = watcher(tmp_path)
    frames.look(frame_of(0), 3.0)
    frames.write()
    assert kept(tmp_path) == {0: 3.0}
    assert (tmp_path / "uncertain.unreadable").read_text() == content
    assert "cannot be read" in caplog.text
