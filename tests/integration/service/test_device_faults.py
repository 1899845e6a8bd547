"""Rows G1 and G2: what a device can do to a run, by sources that fail on purpose.

Each test asserts that its fault happened, and either that the journal folds to the same
bits as without it, or how the run ended and what was kept.
"""

import json
import logging
import signal
import socket
import time

import faulty
import numpy as np
import pytest
from analytic import (
    STRIDE,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.errors import (
    DeviceError,
    DeviceLostError,
    EvaluatorError,
    FrameError,
    ShapeError,
)
from mimyria.io import read_extxyz
from mimyria.storage import read_result
from mimyria_driver.evaluator import Evaluator
from mimyria_driver.evaluator.deaths import Deaths
from mimyria_driver.identity import read_header
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import live_records, read_journal
from mimyria_driver.session import Session
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

N_FRAMES = 40
LATE = 25 * STRIDE  # step of a frame in the middle


def whole_run(frames):
    return [Started(description()), *arrivals(frames), Ended("the end")]


class Run:
    """A run with faults, and what can be asked of it afterwards."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "run"
        self.log = folder / "faults"
        self._monkeypatch = monkeypatch

    def plan(self, *faults):
        document = [{"log": str(self.log), **fault} for fault in faults]
        self._monkeypatch.setenv("MIMYRIA_TEST_DEVICE", json.dumps(document))

    def serve(self, source=None, models=None, run=None, **options):
        self.source = source or ScriptedSource(whole_run(trajectory(N_FRAMES)))
        settings = make_settings(
            self.folder, models=faulty.models(**(models or {})), run=run or {}
        )
        return serve(settings, self.source, **options)

    @property
    def happened(self):
        return faulty.lines(self.log)

    @property
    def status(self):
        return read_status(self.folder)

    @property
    def steps(self):
        return [record.step for record in read_journal(self.folder / "journal")]

    def bits(self):
        """The live records, but for what is not the same in two runs, and the fold."""
        path = self.folder / "journal"
        identity, _ = read_header(path)
        rows = np.concatenate(list(live_records(path)))
        settings = make_settings(self.folder, models=faulty.models())
        fold = rebuild(path, identity, settings.spectrum)
        state = {
            (target, name): array.tobytes()
            for target, arrays in fold.state().items()
            for name, array in arrays.items()
        }
        return rows.tobytes(), state


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Live records and fold of the run that all others must equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIMYRIA_TEST_DEVICE", raising=False)
        run = Run(tmp_path_factory.mktemp("undisturbed"), patch)
        assert run.serve() == 0
        return run.bits()


# -- memory ---------------------------------------------------------------------------


def test_out_of_memory_halves_what_is_evaluated_at_once(run, undisturbed, caplog):
    run.plan({"kind": "memory", "more than": 3})
    with caplog.at_level(logging.WARNING):
        assert run.serve(models={"batch": 8}) == 0
    assert run.happened == ["memory"] * 2  # 8, then 4; 2 at once from then on
    assert "too little memory for 8 frame(s) at once (2048 MiB more" in caplog.text
    assert run.status["restarts"] == 0
    assert run.bits() == undisturbed


def test_frame_that_never_fits_ends_the_run_with_a_number(run):
    run.plan({"kind": "memory", "step": LATE})
    with pytest.raises(DeviceError, match=r"one frame of 6 atoms: 2048 MiB") as raised:
        run.serve()
    assert raised.value.exit_code == 69
    assert run.happened == [f"memory {LATE}"] * 2
    assert run.steps[-1] == LATE - STRIDE == run.source.acknowledged[-1]


# -- deaths (an illegal address, SIGKILL, a hang, each once: test_service.py) --------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "signal", "number": signal.SIGABRT},
        {"kind": "signal", "number": signal.SIGSEGV},
    ],
    ids=["abort", "segmentation fault"],
)
def test_child_that_dies_once_changes_nothing(fault, run, undisturbed):
    run.plan({**fault, "step": LATE, "times": 1})
    assert run.serve() == 0
    assert len(run.happened) == 1
    assert run.status["restarts"] == 1
    assert run.bits() == undisturbed


def test_three_deaths_by_different_frames_are_the_fault_of_the_device(run):
    run.plan(*[{"kind": "illegal", "step": LATE + n, "times": 1} for n in (0, 4, 8)])
    host = socket.gethostname()
    with pytest.raises(DeviceLostError, match=f"--exclude={host}") as raised:
        run.serve()
    assert raised.value.exit_code == 75
    assert len(run.happened) == 3
    assert "illegal memory access" in str(raised.value)
    assert run.steps[-1] == LATE + STRIDE == run.source.acknowledged[-1]


def test_device_that_is_gone_is_not_tried_again(run):
    run.plan({"kind": "gone", "step": LATE})
    with pytest.raises(DeviceLostError, match=r"cpu of .* is gone: .*no CUDA-capable"):
        run.serve()
    assert run.happened == [f"gone {LATE}"]
    assert run.status["restarts"] == 0
    assert run.steps[-1] == LATE - STRIDE


def test_device_that_fails_while_loading_is_given_up_after_three(run):
    run.plan({"kind": "illegal", "loading": True})
    with pytest.raises(DeviceLostError, match="ended 3 times"):
        run.serve()
    assert run.happened == ["illegal"] * 3


def test_crash_while_loading_is_told_with_its_last_words(run):
    run.plan({"kind": "signal", "number": signal.SIGSEGV, "loading": True})
    with pytest.raises(EvaluatorError, match=r"died \(signal 11\) while loading"):
        run.serve()
    assert run.happened == ["signal"]


def test_next_process_waits_longer(run, undisturbed, caplog):
    run.plan(*[{"kind": "illegal", "step": LATE + n, "times": 1} for n in (0, 4)])
    with caplog.at_level(logging.WARNING):
        assert run.serve() == 0
    replaced = [r for r in caplog.records if r.code == "evaluator_replaced"]
    assert [record.fields["pause"] for record in replaced] == [0.0, 1.0]
    assert "starting another, which waits for 1 s first" in caplog.text
    assert run.bits() == undisturbed


def test_signal_in_a_pause_ends_the_run_in_time(run, undisturbed, monkeypatch):
    monkeypatch.setattr(Deaths, "pause", 600.0)
    run.plan({"kind": "illegal", "step": LATE, "times": 1})
    stop = StopRequest()
    begun = []

    def start(evaluator, pause=0.0):
        begin(evaluator, pause)
        if pause:
            stop.signal_name = "SIGTERM"
            begun.append(time.monotonic())

    begin = Evaluator._start
    monkeypatch.setattr(Evaluator, "_start", start)
    assert run.serve(stop=stop) == 75
    assert time.monotonic() - begun[0] < 60.0
    assert run.steps[-1] == LATE - STRIDE == run.source.acknowledged[-1]
    monkeypatch.undo()
    assert run.serve() == 0
    assert run.bits() == undisturbed


def test_engine_is_heard_in_a_pause(run, undisturbed, monkeypatch):
    monkeypatch.setattr(Deaths, "pause", 3.0)
    run.plan({"kind": "illegal", "step": 2 * STRIDE, "times": 1})
    heard, begun = [], []
    place, begin = Session.place, Evaluator._start

    def hear(session, event):
        heard.append(time.monotonic())
        return place(session, event)

    def start(evaluator, pause=0.0):
        begun.append(time.monotonic())
        begin(evaluator, pause)

    monkeypatch.setattr(Session, "place", hear)
    monkeypatch.setattr(Evaluator, "_start", start)
    source = ScriptedSource(whole_run(trajectory(N_FRAMES)), pause=0.1)
    assert run.serve(source, run={"credit": 64}) == 0
    assert run.status["restarts"] == 1
    assert len([when for when in heard if begun[1] < when < begun[1] + 3.0]) > 3
    assert run.bits() == undisturbed


# -- poison ---------------------------------------------------------------------------


def quarantined(run, step):
    """The frame in quarantine, after comparing it with what the engine sent."""
    (path,) = (run.folder / "quarantine").iterdir()
    assert path.name == f"step-{step}.extxyz"
    (labelled,) = read_extxyz(path)
    frame, sent = labelled.frame, trajectory(N_FRAMES)[step // STRIDE]
    assert frame.step == step
    for name in ("positions", "cell", "velocities"):
        np.testing.assert_allclose(getattr(frame, name), getattr(sent, name), atol=1e-8)
    return labelled.info["reason"]


def test_frame_that_kills_twice_is_quarantined(run):
    run.plan({"kind": "signal", "number": signal.SIGSEGV, "step": LATE})
    with pytest.raises(FrameError, match=r"signal 11.*again with it alone") as raised:
        run.serve()
    assert raised.value.exit_code == 65
    assert len(run.happened) == 2
    assert "signal 11" in quarantined(run, LATE)
    assert run.steps[-1] == LATE - STRIDE == run.source.acknowledged[-1]


def test_one_poisonous_frame_of_a_batch_is_found(run):
    run.plan({"kind": "illegal", "step": LATE})
    with pytest.raises(FrameError, match=f"step {LATE}: "):
        run.serve(models={"batch": 8})
    # Twice with its batch (24 to 31), twice alone.
    assert len(run.happened) == 4
    assert "illegal memory access" in quarantined(run, LATE)
    assert run.steps[-1] == LATE - STRIDE == run.source.acknowledged[-1]


def test_batch_that_kills_is_evaluated_frame_by_frame(run, undisturbed, caplog):
    run.plan({"kind": "illegal", "more than": 7, "times": 2})
    with caplog.at_level(logging.WARNING):
        assert run.serve(models={"batch": 8}) == 0
    assert len(run.happened) == 2
    assert "they are tried one by one" in caplog.text
    assert run.bits() == undisturbed


@pytest.mark.slow
def test_deaths_by_frames_of_one_batch_count_once(run, undisturbed):
    # Twice together, once alone, and once its neighbour alone: four deaths, one story.
    run.plan(
        {"kind": "illegal", "step": LATE, "times": 3},
        {"kind": "illegal", "step": LATE + STRIDE, "times": 1},
    )
    assert run.serve(models={"batch": 8}) == 0
    assert len(run.happened) == run.status["restarts"] == 4
    assert run.bits() == undisturbed


# -- hangs ----------------------------------------------------------------------------


@pytest.mark.slow
def test_frame_that_hangs_twice_is_quarantined(run):
    run.plan({"kind": "hang", "step": LATE})
    # The second child hangs at its first batch, which may take longer.
    with pytest.raises(FrameError, match=r"gave no answer in 3 s.*again with it"):
        run.serve(deadline=0.5, first_deadline=3.0)
    assert len(run.happened) == 2
    assert "gave no answer" in quarantined(run, LATE)


def test_slow_device_is_left_alone(run, undisturbed):
    run.plan({"kind": "slow", "step": 30 * STRIDE, "behind": True})
    assert run.serve(deadline=2.0) == 0
    assert run.happened
    assert run.status["restarts"] == 0
    assert run.bits() == undisturbed


# -- numbers --------------------------------------------------------------------------


def test_nan_that_does_not_come_again_is_noted(run, undisturbed, caplog):
    run.plan({"kind": "nan", "step": LATE, "times": 1})
    with caplog.at_level(logging.WARNING):
        assert run.serve(models={"batch": 8}) == 0
    assert run.happened == [f"nan {LATE}"]
    assert f"step {LATE}: the apt model gave numbers that are not finite" in caplog.text
    assert "a second opinion agrees" in caplog.text
    assert run.bits() == undisturbed


@pytest.mark.parametrize("batch", [1, 8])
def test_nan_that_comes_again_is_quarantined(batch, run):
    run.plan({"kind": "nan", "step": LATE})
    with pytest.raises(FrameError, match="first for atom 2, and again") as raised:
        run.serve(models={"batch": batch})
    assert raised.value.exit_code == 65
    assert len(run.happened) >= 2
    assert "not finite" in quarantined(run, LATE)
    assert run.steps[-1] == LATE - STRIDE == run.source.acknowledged[-1]


def test_wrong_shape_ends_the_run(run):
    run.plan({"kind": "shape", "step": LATE})
    with pytest.raises(ShapeError, match=f"step {LATE}") as raised:
        run.serve()
    assert raised.value.exit_code == 65
    assert run.happened == [f"shape {LATE}"]
    assert run.steps[-1] == LATE - STRIDE


# -- canary ---------------------------------------------------------------------------


def test_wrong_numbers_are_taken_back_to_the_last_good_canary(run, undisturbed, caplog):
    run.plan({"kind": "drift", "step": LATE, "times": 1})
    with caplog.at_level(logging.WARNING):
        assert run.serve(models={"canary": 10}) == 0
    assert run.happened == [f"drift {LATE}"]
    assert "the device calculates wrongly" in caplog.text
    assert "10 frames since the last good check are calculated again" in caplog.text
    assert run.bits() == undisturbed
    assert run.source.acknowledged == sorted(run.source.acknowledged)
    status = run.status
    assert (status["segments"], status["missing"], status["restarts"]) == (1, 0, 1)
    assert status["unchecked"] == 0


def test_the_end_of_a_run_is_checked_too(run, undisturbed, caplog):
    run.plan({"kind": "drift", "step": LATE, "times": 1})
    with caplog.at_level(logging.WARNING):
        assert run.serve() == 0  # a canary after 1000 batches never comes
    assert run.happened == [f"drift {LATE}"]
    assert f"{N_FRAMES} frames since the last good check are calculated" in caplog.text
    assert run.bits() == undisturbed


def test_engine_that_goes_back_before_a_bad_canary_changes_nothing(run, undisturbed):
    run.plan({"kind": "drift", "step": LATE + 4, "times": 1})
    good, bad = trajectory(N_FRAMES), trajectory(N_FRAMES, shift=1e-9)
    events = [
        Started(description()),
        *arrivals(good[:20] + bad[20:25]),
        Started(description()),
        *arrivals(good[19:]),
        Ended("the end"),
    ]
    source = ScriptedSource(events, resumes=False)
    assert run.serve(source, models={"canary": 12}) == 0
    assert len(run.happened) == 1
    assert run.bits() == undisturbed


def test_device_that_is_wrong_again_is_given_up_and_no_frame_is_lost(run, undisturbed):
    run.plan({"kind": "drift", "step": LATE, "behind": True})
    with pytest.raises(DeviceLostError, match="wrong again") as raised:
        run.serve(models={"canary": 10})
    assert raised.value.exit_code == 75
    assert len(run.happened) > 2
    # Nothing that a good canary does not stand behind is left.
    assert run.steps[-1] < LATE
    told = run.source.acknowledged[-1]
    assert told >= LATE
    # The engine has forgotten what it was told to be safe; the run folder has not.
    run.plan()
    frames = trajectory(N_FRAMES)
    begin = told // STRIDE
    rest = arrivals(frames[begin + 1 :], previous=frames[begin].step)
    source = ScriptedSource([Started(description()), *rest, Ended("the end")])
    assert run.serve(source) == 0
    assert source.accepted[0] >= told
    assert run.bits() == undisturbed
    assert not (run.folder / "set-aside.npz").exists()


def test_canary_can_be_left_away(run):
    run.plan({"kind": "drift", "step": LATE, "times": 1})
    assert run.serve(models={"canary": 0}) == 0
    assert len(run.happened) == 1
    assert run.status["unchecked"] == 0
    assert len(run.steps) == N_FRAMES


# -- evaluated twice ------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "n_twice"), [(1, 4), (8, 32)])
def test_chosen_frames_are_evaluated_twice_and_change_nothing(
    batch, n_twice, run, undisturbed
):
    assert run.serve(models={"repeat": 10, "batch": batch}) == 0
    assert run.status["repeated"] == n_twice
    assert (run.status["mismatches"], run.status["restarts"]) == (0, 0)
    assert run.bits() == undisturbed


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("canary", [0, 10, 1000])
def test_frame_that_comes_out_otherwise_is_taken_back(
    canary, batch, run, undisturbed, caplog
):
    run.plan({"kind": "glitch", "step": LATE, "times": 1})
    with caplog.at_level(logging.WARNING):
        assert run.serve(models={"repeat": 25, "canary": canary, "batch": batch}) == 0
    assert run.happened == [f"glitch {LATE}"]
    assert "gave other numbers when it was evaluated once more" in caplog.text
    assert "the device calculates wrongly" in caplog.text
    codes = [getattr(record, "code", "") for record in caplog.records]
    assert codes.count("repeat_differed") == 1
    assert "canary_failed" not in codes
    assert (run.status["mismatches"], run.status["restarts"]) == (1, 1)
    assert run.bits() == undisturbed
    assert run.source.acknowledged == sorted(run.source.acknowledged)


def test_glitch_of_a_frame_that_is_not_chosen_is_not_found(run, undisturbed):
    """What the manual says that this does not do."""
    run.plan({"kind": "glitch", "step": LATE + STRIDE, "times": 1})
    assert run.serve(models={"repeat": 25}) == 0
    assert len(run.happened) == 1
    assert run.status["mismatches"] == 0
    assert run.bits() != undisturbed


def test_frames_that_are_never_the_same_are_the_fault_of_the_device(run, undisturbed):
    run.plan({"kind": "flicker", "step": LATE})
    with pytest.raises(DeviceLostError, match="wrong again: step 100 gave") as raised:
        run.serve(models={"repeat": 25})
    assert raised.value.exit_code == 75
    assert len(run.happened) == 4
    run.plan()
    assert run.serve() == 0
    assert run.bits() == undisturbed


# -- unusual frames -------------------------------------------------------------------

LONG = 140
UNUSUAL = 120 * STRIDE  # behind those that show what is usual


@pytest.fixture(scope="module")
def undisturbed_and_long(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MIMYRIA_TEST_DEVICE", raising=False)
        run = Run(tmp_path_factory.mktemp("long"), patch)
        assert run.serve(ScriptedSource(whole_run(trajectory(LONG)))) == 0
        assert run.status["unusual"] == 0
        return run.bits()


@pytest.mark.parametrize("batch", [1, 8])
def test_number_far_outside_that_does_not_come_again_is_taken_back(
    batch, run, undisturbed_and_long, caplog
):
    run.plan({"kind": "glitch", "step": UNUSUAL, "times": 1, "factor": 1e3})
    source = ScriptedSource(whole_run(trajectory(LONG)))
    with caplog.at_level(logging.WARNING):
        assert run.serve(source, models={"repeat": 0, "batch": batch}) == 0
    assert run.happened == [f"glitch {UNUSUAL}"]
    assert "gave other numbers when it was evaluated once more" in caplog.text
    assert (run.status["mismatches"], run.status["unusual"]) == (1, 0)
    assert run.bits() == undisturbed_and_long


def test_number_far_outside_that_comes_again_is_told_and_counts(run, caplog):
    run.plan({"kind": "glitch", "step": UNUSUAL, "factor": 1e3})
    source = ScriptedSource(whole_run(trajectory(LONG)))
    with caplog.at_level(logging.WARNING):
        assert run.serve(source, models={"repeat": 0}) == 0
    assert run.happened == [f"glitch {UNUSUAL}"] * 2
    (told,) = [r for r in caplog.records if getattr(r, "code", "") == "unusual_frame"]
    assert told.fields["step"] == UNUSUAL
    assert told.fields["size"] > 100
    status = run.status
    assert (status["unusual"], status["last_unusual"]) == (1, UNUSUAL)
    assert (status["mismatches"], status["restarts"]) == (0, 0)
    assert len(run.steps) == LONG


# -- which device it was --------------------------------------------------------------


def test_demanded_gpu_that_is_not_there_ends_with_69(run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceError, match="torch finds no CUDA device") as raised:
        run.serve(models={"device": "cuda"})
    assert raised.value.exit_code == 69
    assert not run.source.accepted
    assert not (run.folder / "journal").exists()


def test_hardware_is_told_and_its_change_is_noted(run, caplog):
    frames = trajectory(N_FRAMES)
    assert run.serve(ScriptedSource(whole_run(frames[:20]))) == 0
    path = run.folder / "hardware.json"
    (entry,) = json.loads(path.read_text())
    assert (entry["device"], entry["after_step"]) == ("cpu", -1)
    assert run.status["hardware"] == entry["hardware"] != ""
    path.write_text(json.dumps([{**entry, "hardware": "NVIDIA T4", "host": "node7"}]))
    with caplog.at_level(logging.WARNING):
        assert run.serve() == 0
    before, now = json.loads(path.read_text())
    assert (before["host"], now["after_step"]) == ("node7", 19 * STRIDE)
    assert "before NVIDIA T4 on node7; the last digits may differ" in caplog.text
    provenance = read_result(run.folder / "spectrum.h5").provenance
    assert provenance["hardware"] == entry["hardware"]
    assert provenance["hardware_changes"] == 1
