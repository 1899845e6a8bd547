import numpy as np
import pytest

from mimyria.errors import LockedError, OutputError
from mimyria.frame import Frame
from mimyria_driver import setaside
from mimyria_driver.pending import Pending
from mimyria_driver.sequence import Place
from mimyria_driver.setaside import SET_ASIDE_NAME, SetAside


def pending(step):
    rng = np.random.default_rng(step)
    arrays = (rng.normal(size=(2, 3)), rng.normal(size=(3, 3)), rng.normal(size=(2, 3)))
    frame = Frame(np.array([8, 1]), *arrays, step, 2, (True, False, True))
    return Pending(frame, Place(step - 1 if step else -1, False), b"")


class Journal:
    last_step = 1
    n_records = 8


class Session:
    """Takes every frame that is given to it."""

    journal = Journal()

    def place(self, arrived):
        return Pending(arrived.frame, Place(arrived.previous_step, False), b"")

    known = place


@pytest.fixture
def aside(tmp_path):
    set_aside = SetAside(tmp_path)
    set_aside.put([pending(step) for step in range(5)], told=3, n_records=7)
    return set_aside


def test_frames_come_back_to_the_bit_unless_they_have_a_record(aside, tmp_path):
    later = SetAside(tmp_path)
    found = later.restore(Session())
    assert [p.frame.step for p in found] == [2, 3, 4]
    assert [p.place.previous_step for p in found] == [1, 2, 3]
    assert later.held == 4
    for one in found:
        wanted = pending(one.frame.step).frame
        assert (one.frame.replica, one.frame.pbc) == (wanted.replica, wanted.pbc)
        for name in ("numbers", "positions", "cell", "velocities"):
            np.testing.assert_array_equal(
                getattr(one.frame, name), getattr(wanted, name)
            )


def test_records_that_were_not_void_when_the_driver_ended_are_void_first(
    aside, tmp_path
):
    session = Session()
    session.journal = Journal()
    session.journal.n_records = 7
    later = SetAside(tmp_path)
    assert [p.frame.step for p in later.restore(session)] == [0, 1, 2, 3, 4]
    assert later.void_from == 0


def test_frames_behind_those_that_are_put_aside_again_stay(aside, tmp_path):
    aside.put([pending(step) for step in (2, 3)], told=3, n_records=7)
    assert [p.frame.step for p in SetAside(tmp_path).restore(Session())] == [2, 3, 4]


def test_frames_that_another_driver_has_set_aside_stay(aside, tmp_path):
    taken_over = []

    def guard():
        if taken_over:
            raise LockedError("another driver has taken over")

    late = SetAside(tmp_path, guard)
    late.put([pending(step) for step in (2, 3)], told=1, n_records=7)
    aside.put([pending(step) for step in range(5)], told=3, n_records=7)
    taken_over.append(True)
    assert late.safe(3)
    for change in (
        late.checked,
        lambda: late.went_back(3),
        lambda: late.put([pending(4)], told=3, n_records=7),
    ):
        with pytest.raises(LockedError):
            change()
    assert [p.frame.step for p in SetAside(tmp_path).restore(Session())] == [2, 3, 4]


def test_file_that_had_no_room_is_written_before_the_end(tmp_path, monkeypatch, caplog):
    set_aside = SetAside(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(setaside, "replace_file", full)
        set_aside.put([pending(step) for step in range(5)], told=3, n_records=7)
    assert "They are in memory only" in caplog.text
    assert not (tmp_path / SET_ASIDE_NAME).exists()
    set_aside.save()
    assert [p.frame.step for p in SetAside(tmp_path).restore(Session())] == [2, 3, 4]


def full(path, content, confirm):
    raise OutputError(f"cannot write {path}: No space left on device.")


def test_engine_hears_nothing_before_all_are_safe_again(aside, tmp_path):
    assert [aside.safe(step) for step in (1, 2, 3, 2)] == [False, False, True, True]
    assert (tmp_path / SET_ASIDE_NAME).exists()
    aside.checked()
    assert not (tmp_path / SET_ASIDE_NAME).exists()


def test_good_canary_before_they_are_safe_forgets_nothing(aside, tmp_path):
    aside.checked()
    assert (tmp_path / SET_ASIDE_NAME).exists()


def test_engine_that_takes_another_way_replaces_them(aside, tmp_path):
    aside.went_back(3)
    assert aside.held == 2
    later = SetAside(tmp_path)
    assert [p.frame.step for p in later.restore(Session())] == [2]
    aside.went_back(0)
    assert aside.held == -1
    assert not (tmp_path / SET_ASIDE_NAME).exists()


def test_damaged_file_is_said_and_costs_its_frames_only(aside, tmp_path, caplog):
    path = tmp_path / SET_ASIDE_NAME
    content = path.read_bytes()
    for damaged in (content[:300], b"", b"no archive", content[:-40] + b"x" * 40):
        path.write_bytes(damaged)
        assert SetAside(tmp_path).restore(Session()) == []
        assert "its frames will be missing" in caplog.text
        assert not path.exists()
        caplog.clear()
