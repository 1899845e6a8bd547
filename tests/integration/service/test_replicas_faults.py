"""Replicas that share one evaluator, when it or the driver fails."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import many
import numpy as np
import pytest
from analytic import MASSES, NUMBERS, STRIDE, description, trajectory
from growing import n_records
from instant import InstantEvaluator, exact_sample
from many import Engines, ensemble, settings_for, single_runs

from mimyria.errors import DeviceLostError, FrameError, IncompatibleError
from mimyria.storage import read_result
from mimyria_driver.cli import main
from mimyria_driver.evaluator import Evaluator
from mimyria_driver.labels import replica_folder
from mimyria_driver.monitor import read_status
from mimyria_driver.reading import live_records
from mimyria_driver.sources import Started


def rows(folder):
    """What the live records of a run hold."""
    return np.concatenate(list(live_records(folder / "journal"))).tobytes()


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    return single_runs(tmp_path_factory.mktemp("singles"), 4)


def wait_for_records(directory, n_replicas, n, process):
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        assert process.poll() is None
        folders = [replica_folder(directory, k) for k in range(n_replicas)]
        if all(n_records(folder) >= n for folder in folders):
            return
        time.sleep(0.01)
    pytest.fail("the driver wrote too few records in time")


@pytest.mark.slow
def test_killed_driver_goes_on_with_all_replicas(tmp_path, singles):
    """SIGKILL twice, in the middle; then to the end: the bits of single runs."""
    command = [sys.executable, many.__file__, str(tmp_path), "4", "0.02"]
    for n in (8, 25):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for_records(tmp_path, 4, n, process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    command[-1] = "0"
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
    for number in range(4):
        folder = replica_folder(tmp_path, number)
        assert rows(folder) == rows(singles[number])
    assert main(["verify", str(tmp_path)]) == 0
    assert read_result(tmp_path / "spectrum.h5").provenance["frames"] == 246


@pytest.mark.slow
def test_signal_ends_the_process_of_sixteen_replicas_in_time(tmp_path):
    """Within 5 s, with code 75, and nothing that was acknowledged is lost."""
    command = [sys.executable, many.__file__, str(tmp_path), "16", "0.05"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for_records(tmp_path, 16, 3, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5.0) == 75
    finally:
        process.kill()
        process.wait()
    assert read_status(tmp_path)["state"] == "stopped"
    command[-1] = "0"
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
    alone = single_runs(tmp_path / "alone", 16)
    for number in range(16):
        folder = replica_folder(tmp_path, number)
        assert rows(folder) == rows(alone[number])


def real_evaluator(settings):
    return partial(Evaluator, settings.models, settings.run.directory / "evaluator.log")


def some_frames(replica):
    """The third goes on when the others are over: a step that is its own."""
    return trajectory(80 if replica == 2 else 50, seed=replica)


@pytest.mark.slow
def test_frame_that_kills_the_evaluator_ends_only_its_replica(tmp_path, monkeypatch):
    fault = f'{{"kind": "crash", "step": {60 * STRIDE}}}'
    monkeypatch.setenv("MIMYRIA_TEST_FAULT", fault)
    settings = settings_for(tmp_path / "run", 4)
    # The third is far ahead of the others when its frame comes.
    engines = Engines(some_frames, pause=lambda k: 0.0 if k == 2 else 0.25)
    with pytest.raises(FrameError, match=r"replica 2: step 240: .* died .* again"):
        ensemble(settings, engines, real_evaluator(settings)).run()
    alone = single_runs(tmp_path / "alone", 4, some_frames)
    for number in (0, 1, 3):
        folder = replica_folder(tmp_path / "run", number)
        assert rows(folder) == rows(alone[number])
    poisoned = replica_folder(tmp_path / "run", 2)
    assert len(np.concatenate(list(live_records(poisoned / "journal")))) == 60
    assert [path.name for path in (poisoned / "quarantine").iterdir()] == [
        "step-240.extxyz"
    ]
    status = read_status(tmp_path / "run")
    assert status["replicas"]["states"] == {"ended": 3, "failed": 1}
    assert status["restarts"] == 2


def test_evaluator_that_dies_once_changes_nothing_for_anybody(tmp_path, monkeypatch):
    flag = tmp_path / "died"
    fault = f'{{"kind": "kill", "step": 100, "once": "{flag}"}}'
    monkeypatch.setenv("MIMYRIA_TEST_FAULT", fault)
    settings = settings_for(tmp_path / "run", 3)
    assert ensemble(settings, Engines(), real_evaluator(settings)).run() == 0
    assert flag.exists()
    assert read_status(tmp_path / "run")["restarts"] == 1
    alone = single_runs(tmp_path / "alone", 3)
    for number in range(3):
        folder = replica_folder(tmp_path / "run", number)
        assert rows(folder) == rows(alone[number])


class Drifting(InstantEvaluator):
    """Calculates wrongly from the 100th frame on until a canary has said so."""

    n_frames = 0
    wrong = False
    times = 1
    found = 0

    def submit(self, frames, **options):
        Drifting.n_frames += len(frames)
        if Drifting.n_frames > 100 and Drifting.found < Drifting.times:
            Drifting.wrong = True
        super().submit(frames, **options)

    def _sample_of(self, frame, grouping):
        sample = exact_sample(frame, grouping)
        return many.spoilt(sample) if Drifting.wrong else sample

    def judge(self):
        if not Drifting.wrong:
            return ""
        Drifting.wrong = False
        Drifting.found += 1
        return "another answer than before"

    def results(self):
        if Drifting.found > 1:
            raise DeviceLostError("numbers are wrong again.")
        return super().results()


@pytest.fixture
def drifting():
    Drifting.n_frames, Drifting.wrong, Drifting.found = 0, False, 0
    return lambda times: setattr(Drifting, "times", times)


def test_wrong_canary_of_one_makes_all_calculate_again(tmp_path, singles, drifting):
    drifting(1)
    settings = settings_for(tmp_path, 4, models={"canary": 25})
    evaluator = Drifting()
    evaluator._sample = evaluator._sample_of
    assert ensemble(settings, Engines(), lambda: evaluator).run() == 0
    assert Drifting.found == 1
    for number in range(4):
        folder = replica_folder(tmp_path, number)
        assert rows(folder) == rows(singles[number])
    assert main(["verify", str(tmp_path)]) == 0


def test_device_that_is_lost_ends_all(tmp_path, drifting):
    drifting(2)
    engines = Engines(pause=lambda replica: 0.005)  # none is through before
    settings = settings_for(tmp_path, 3, models={"canary": 25})
    evaluator = Drifting()
    evaluator._sample = evaluator._sample_of
    with pytest.raises(DeviceLostError, match="3 of 3 replicas have failed; the fir"):
        ensemble(settings, engines, lambda: evaluator).run()


def test_replicas_with_other_groups_are_told_apart(tmp_path):
    """Masses that differ make other groups: the evaluator is told in between."""

    class Heavy(Engines):
        def __call__(self, settings):
            source = super().__call__(settings)
            if settings.run.directory.name == "001":
                masses = MASSES * np.where(NUMBERS == 1, 2.0, 1.0)
                source.events[0] = Started(description(masses=masses))
            return source

    told = []

    class Told(InstantEvaluator):
        def describe(self, grouping):
            assert not self.n_batches
            told.append(grouping.masses[1])
            super().describe(grouping)

    settings = settings_for(tmp_path, 2, groups={"kind": "motion"})
    with pytest.raises(IncompatibleError, match="groups"):
        ensemble(settings, Heavy(), Told).run()
    assert {round(mass, 3) for mass in told} == {1.008, 2.016}
    alone = single_runs(tmp_path / "alone", 1, groups={"kind": "motion"})
    assert rows(replica_folder(tmp_path, 0)) == rows(alone[0])


@pytest.mark.slow
def test_eighty_replicas_take_a_thread_and_a_few_descriptors_each(tmp_path):
    """Counted while all are there; the evaluator is one."""
    n = 80
    made = []
    most = {"threads": 0, "files": 0}

    class Counting(InstantEvaluator):
        def __init__(self):
            super().__init__()
            made.append(self)

        def submit(self, frames, **options):
            most["threads"] = max(most["threads"], threading.active_count())
            files = len(os.listdir("/proc/self/fd"))
            most["files"] = max(most["files"], files)
            super().submit(frames, **options)

    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    # All begin before any can end: each engine has its pauses. The same motion at
    # other times, which is of one temperature.
    engines = Engines(lambda k: trajectory(8, shift=k), pause=lambda k: 0.5)
    assert ensemble(settings_for(tmp_path, n), engines, Counting).run() == 0
    assert len(made) == 1
    assert most["threads"] - before[0] <= n + 1
    assert most["files"] - before[1] <= 8 * n + 20
    folders = sorted(path.name for path in (tmp_path / "replicas").iterdir())
    assert folders == [f"{number:03d}" for number in range(n)]
    status = read_status(tmp_path)
    assert status["replicas"]["states"] == {"ended": n}
    assert status["durable"] == sum(len(engines.frames(k)) for k in range(n))
    result = read_result(Path(tmp_path) / "spectrum.h5")
    assert result.dipole.n_samples == status["durable"]
    assert threading.active_count() == before[0]
    assert len(os.listdir("/proc/self/fd")) <= before[1] + 2
