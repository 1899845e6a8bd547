"""A device that is wrong while there is no room on the disk: both faults at once."""

import json
import logging

import pytest
from analytic import STRIDE, ScriptedSource
from fulldisk import FullFrom
from inline import quiet_settings, whole_run
from instant import InstantEvaluator, exact_sample, fold_of, serve_here

from mimyria.contributions import Sample
from mimyria.currents import Currents
from mimyria_driver import diskwait
from mimyria_driver.inspection import inspect_run
from mimyria_driver.reading import first_rollback
from mimyria_driver.signals import StopRequest

CANARY = 10


class Drifting(InstantEvaluator):
    """Gives wrong numbers from a frame on, until a canary finds it."""

    def __init__(self, first):
        super().__init__(self.answer)
        self.first = first
        self.found = 0
        self.wrong = False

    def answer(self, frame, grouping):
        exact = exact_sample(frame, grouping)
        self.wrong = self.wrong or (not self.found and frame.step >= self.first)
        if not self.wrong:
            return exact
        parts = None if exact.contributions is None else 2 * exact.contributions
        now = exact.currents
        return Sample(Currents(2 * now.dipole, 2 * now.polarizability), parts)

    def judge(self):
        if not self.wrong:
            return ""
        self.wrong = False
        self.found += 1
        return "the example has other numbers"


def settings_of(directory):
    return quiet_settings(directory, models={"canary": CANARY})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed")
    serve_here(settings_of(directory), ScriptedSource(whole_run()))
    return directory


@pytest.mark.parametrize(
    ("n_written", "drift", "n_void"),
    [(13, 11, 3), (13, 14, 3), (10, 12, 0), (27, 3, 9)],
    ids=[
        "records are void",
        "good records are void too",
        "no record is void",
        "before the disk is full",
    ],
)
def test_wrong_device_and_full_disk_leave_the_same_bits(
    n_written, drift, n_void, tmp_path, monkeypatch, caplog, undisturbed
):
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.05)
    evaluator = Drifting(drift * STRIDE)
    fault = FullFrom(
        monkeypatch, tmp_path, n_written, lambda: fault.hits < 8 or not evaluator.found
    )
    source = ScriptedSource(whole_run())
    with caplog.at_level(logging.INFO):
        assert serve_here(settings_of(tmp_path), source, evaluator) == 0
    assert fault.hits >= 8
    assert evaluator.found == 1
    assert f"and the {n_void} records of them taken back" in caplog.text
    back = first_rollback(tmp_path / "journal", 0)
    assert back == (drift // CANARY * CANARY * STRIDE if n_void else None)
    assert source.acknowledged == sorted(source.acknowledged)
    assert fold_of(tmp_path) == fold_of(undisturbed)
    assert not inspect_run(tmp_path).problems
    assert not (tmp_path / "set-aside.npz").exists()
    assert json.loads((tmp_path / "status.json").read_text())["unchecked"] == 0


def test_records_that_there_was_no_room_to_void_are_void_at_the_next_start(
    tmp_path, monkeypatch, undisturbed
):
    """A signal comes while the disk has no room to say which records are void."""
    monkeypatch.setattr(diskwait, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(diskwait, "_BALLAST_BYTES", 1 << 60)
    evaluator, stop = Drifting(11 * STRIDE), StopRequest()

    def full():
        if evaluator.found and fault.hits > 8:
            stop.signal_name = "SIGTERM"
        return True

    fault = FullFrom(monkeypatch, tmp_path, 13, full)
    source = ScriptedSource(whole_run())
    with monkeypatch.context():
        assert serve_here(settings_of(tmp_path), source, evaluator, stop=stop) == 75
    assert evaluator.found == 1
    assert first_rollback(tmp_path / "journal", 0) is None
    told = max([-1, *source.acknowledged])
    monkeypatch.undo()
    rest = ScriptedSource(whole_run())
    assert serve_here(settings_of(tmp_path), rest) == 0
    assert rest.accepted[0] >= told
    assert first_rollback(tmp_path / "journal", 0) == CANARY * STRIDE
    assert fold_of(tmp_path) == fold_of(undisturbed)
    assert not inspect_run(tmp_path).problems
    assert not (tmp_path / "set-aside.npz").exists()
