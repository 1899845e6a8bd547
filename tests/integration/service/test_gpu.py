"""Rows G3 and G4: a real GPU that fails, and what its numbers are worth.

What needs no GPU to be tried runs on the CPU as well, among the slow tests. With
`--log-cli-level=INFO` they say how far numbers are apart.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import analytic
import faulty
import numpy as np
import pytest
import torch
from analytic import (
    STRIDE,
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    serve,
    trajectory,
)

from mimyria.models import load_model, resolve_model
from mimyria.models.modelfile import read_model
from mimyria_driver.evaluator.determinism import prepare_torch
from mimyria_driver.monitor import read_status
from mimyria_driver.reading import read_journal
from mimyria_driver.sources import Ended, Started

MODEL = "water-compact-joint"
N_FRAMES = 48
_log = logging.getLogger("mimyria.tests")
FLOAT32 = 1e-5
EITHER = [
    pytest.param("cpu", marks=pytest.mark.slow),
    pytest.param("cuda", marks=pytest.mark.gpu),
]


def frames():
    """Water that moves, from the example of the model."""
    example = read_model(resolve_model(MODEL)).example.frame
    rng = np.random.default_rng(3)
    amplitude = rng.normal(0.0, 0.02, example.positions.shape)
    frequency = rng.uniform(0.02, 0.12, example.positions.shape)
    made = []
    for index in range(N_FRAMES):
        phase = frequency * index * 2.0
        positions = example.positions + amplitude * np.sin(phase)
        velocities = amplitude * frequency * np.cos(phase)
        made.append(
            type(example)(
                example.numbers, positions, example.cell, velocities, index * STRIDE
            )
        )
    return made


def evaluate(folder, device, batch=1, parts=(N_FRAMES,)):
    """The journal of a run over the frames, perhaps interrupted."""
    from ase.data import atomic_masses

    sent = frames()
    numbers = sent[0].numbers
    settings = make_settings(
        folder,
        models={
            "apt": None,
            "pgt": None,
            "joint": MODEL,
            "device": device,
            "batch": batch,
        },
    )
    for n_frames in parts:
        begin = Started(description(numbers=numbers, masses=atomic_masses[numbers]))
        source = ScriptedSource([begin, *arrivals(sent[:n_frames]), Ended("")])
        assert serve(settings, source) == 0
    return folder / "journal"


def dipoles(journal):
    return np.array([record.currents.dipole for record in read_journal(journal)])


@pytest.mark.parametrize("device", EITHER)
@pytest.mark.parametrize("batch", [1, 8, 32])
def test_same_frames_give_the_same_bits(device, batch, tmp_path):
    """Twice, and interrupted where a batch ends."""
    one = evaluate(tmp_path / "one", device, batch)
    again = evaluate(tmp_path / "again", device, batch)
    assert one.read_bytes() == again.read_bytes()
    if batch < 32:
        cut = evaluate(tmp_path / "cut", device, batch, parts=(16, N_FRAMES))
        assert one.read_bytes() == cut.read_bytes()


@pytest.mark.parametrize("device", EITHER)
def test_size_of_a_batch_changes_last_digits_only(device, tmp_path):
    alone = dipoles(evaluate(tmp_path / "1", device, 1))
    for batch in (8, 32):
        together = dipoles(evaluate(tmp_path / str(batch), device, batch))
        off = np.abs(together - alone).max() / np.abs(alone).max()
        _log.info("batch %d against 1: off by %.1e of the largest", batch, off)
        assert off <= FLOAT32


def served_beside(folder, device, log):
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), device],
        stderr=log,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )


@pytest.mark.parametrize("device", EITHER)
def test_two_drivers_on_one_device_do_not_disturb_each_other(device, tmp_path):
    alone = evaluate(tmp_path / "alone", device, 8)
    with (tmp_path / "log").open("wb") as log:
        pair = [served_beside(tmp_path / name, device, log) for name in "ab"]
        assert [process.wait(250) for process in pair] == [0, 0]
    for name in "ab":
        assert (tmp_path / name / "journal").read_bytes() == alone.read_bytes()


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["assert", "fill"])
def test_real_fault_costs_a_process_or_nothing(kind, tmp_path, monkeypatch, caplog):
    """An assertion on the device ends the process; a full memory does not."""
    fault = {"kind": kind, "log": str(tmp_path / "faults"), "times": 1}
    strikes = {"step": 25 * STRIDE} if kind == "assert" else {"more than": 7}
    settings = make_settings(
        tmp_path / "run", models=faulty.models(device="cuda", batch=8)
    )
    whole = [Started(description()), *arrivals(trajectory(40)), Ended("")]
    monkeypatch.delenv("MIMYRIA_TEST_DEVICE", raising=False)
    undisturbed = make_settings(tmp_path / "undisturbed", models=faulty.models())
    assert serve(undisturbed, ScriptedSource(whole)) == 0
    monkeypatch.setenv("MIMYRIA_TEST_DEVICE", json.dumps([{**fault, **strikes}]))
    assert serve(settings, ScriptedSource(whole)) == 0
    assert len(faulty.lines(tmp_path / "faults")) == 1
    assert read_status(tmp_path / "run")["restarts"] == (kind == "assert")
    if kind == "fill":
        assert "MiB free" in caplog.text
    np.testing.assert_array_equal(
        dipoles(tmp_path / "run" / "journal"),
        dipoles(tmp_path / "undisturbed" / "journal"),
    )


@pytest.mark.gpu
def test_killed_child_leaves_the_gpu_to_the_next(tmp_path, monkeypatch):
    fault = {"kind": "signal", "number": signal.SIGKILL, "step": 25 * STRIDE}
    fault |= {"log": str(tmp_path / "faults"), "times": 1}
    monkeypatch.setenv("MIMYRIA_TEST_DEVICE", json.dumps([fault]))
    settings = make_settings(tmp_path / "run", models=faulty.models(device="cuda"))
    whole = [Started(description()), *arrivals(trajectory(40)), Ended("")]
    assert serve(settings, ScriptedSource(whole)) == 0
    assert len(faulty.lines(tmp_path / "faults")) == 1
    assert read_status(tmp_path / "run")["restarts"] == 1


@pytest.mark.parametrize("device", EITHER)
def test_precision_of_examples(device):
    """G4: float32 on the device against float64 on the CPU."""
    place = prepare_torch(device, 1)
    for name in ("water-compact-apt", "water-compact-pgt", MODEL):
        frame = read_model(resolve_model(name)).example.frame
        single, double = (
            load_model(name, device=where, dtype=dtype)
            for where, dtype in ((place, "float32"), ("cpu", "float64"))
        )
        (found,) = single.predict([frame])
        (wanted,) = double.predict([frame])
        columns = wanted.columns(double.targets)
        off = np.abs(found.columns(single.targets) - columns).max()
        off /= np.abs(columns).max()
        _log.info("%s on %s: off by %.1e of the largest", name, place, off)
        assert off <= FLOAT32
    torch.use_deterministic_algorithms(False)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(analytic.__file__).parent))
    evaluate(Path(sys.argv[1]), sys.argv[2], 8)
