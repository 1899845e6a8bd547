"""Uncertain frames: counted, and the worst kept once, whatever happens between."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.contributions import Sample
from mimyria.currents import Currents
from mimyria.errors import LockedError
from mimyria.frame import Frame
from mimyria.io import read_extxyz
from mimyria_driver.journal import JOURNAL_NAME, Journal, read_journal
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.session import Session
from mimyria_driver.settings import parse_settings
from mimyria_driver.sources import Arrived, RunDescription
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


def test_frames_that_another_driver_has_kept_stay(tmp_path):
    """One that stood still and was overtaken knows frames that came before."""
    watcher(tmp_path).look(frame_of(5000), 3.5)

    def overtaken():
        raise LockedError("another driver has taken over")

    late = watcher(tmp_path)
    with pytest.raises(LockedError):
        late.look(frame_of(0), 2.5, overtaken)
    with pytest.raises(LockedError):
        late.write(overtaken)
    assert kept(tmp_path) == {5000: 3.5}
    assert [path.name for path in tmp_path.iterdir()] == [UNCERTAIN_NAME]


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


def test_what_many_frames_say_is_said_rarely(tmp_path, caplog):
    frames = watcher(tmp_path)
    for number in range(120):
        frames.look(frame_of(number), 3.0)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split()[:2] for text in said] == [
        ["step", "0"],
        ["10", "frames"],
        ["100", "frames"],
    ]
    assert "the latest is step 99" in said[-1]
    assert (frames.count, frames.last) == (120, 119)


def test_a_disk_that_is_full_ends_no_run_and_is_tried_again(
    tmp_path, caplog, monkeypatch
):
    frames = watcher(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("mimyria.files.os.fsync", full)
        for step in (0, 2000):
            frames.look(frame_of(step), 3.0)
    assert not (tmp_path / UNCERTAIN_NAME).exists()
    assert caplog.text.count("cannot write") == 1
    frames.write()
    assert kept(tmp_path) == {0: 3.0, 2000: 3.0}


def full(_descriptor):
    raise OSError(28, "No space left on device")


# -- a driver that is killed ----------------------------------------------------------

STRANGE = 3
N_FRAMES = 6


def session_in(folder):
    """What the service has once an engine is accepted, without its evaluator."""
    settings = parse_settings(
        {
            "run": {"directory": str(folder)},
            "source": {"kind": "lammps"},
            "models": {"apt": "none"},
            "groups": {"kind": "none"},
        },
        Path("/"),
    )
    numbers = np.array([8, 1])
    run = RunDescription("engine", numbers, np.array([16.0, 1.0]), 0.5, 4)
    path = folder / JOURNAL_NAME
    journal = Journal.open(path) if path.exists() else None
    documents = {"apt": {"sha256": "a" * 64, "species": None}}
    return Session(settings, run, documents, journal)


def fed(folder):
    """A session that was sent all frames, one of them strange."""
    session = session_in(folder)
    previous = -1
    for number in range(N_FRAMES):
        frame = frame_of(4 * number)
        pending = session.place(Arrived(frame, previous))
        previous = frame.step
        if pending is not None:
            excess = 3.0 if number == STRANGE else 0.5
            currents = Currents(np.ones(3), None)
            session.keep(pending, Sample(currents, None, excess))
    return session


def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def killed(folder, place):
    """Feed a session, and die by SIGKILL at the strange frame."""
    owner, name = {"before": (Journal, "append"), "after": (Pipeline, "push")}[place]
    usual, calls = getattr(owner, name), []

    def until_strange(*arguments, **options):
        calls.append(1)
        return die() if len(calls) > STRANGE else usual(*arguments, **options)

    setattr(owner, name, until_strange)
    fed(folder)


@pytest.mark.parametrize("place", ["before", "after"])
def test_killed_before_or_after_its_record_a_frame_is_kept_once(tmp_path, place):
    code = "import sys, pathlib; from tests.unit.driver import test_uncertain as t; "
    code += "t.killed(pathlib.Path(sys.argv[1]), sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), place],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([".", "driver", *sys.path])},
        timeout=200,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    n_records = len(list(read_journal(tmp_path / JOURNAL_NAME)))
    assert n_records == STRANGE + (place == "after")
    assert kept(tmp_path) == {4 * STRANGE: 3.0}
    session = fed(tmp_path)
    assert len(list(read_journal(tmp_path / JOURNAL_NAME))) == N_FRAMES
    assert kept(tmp_path) == {4 * STRANGE: 3.0}
    assert (session.uncertain.count, session.uncertain.last) == (1, 4 * STRANGE)
