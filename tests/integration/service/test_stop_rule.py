"""A run that ends itself when its spectra are good enough."""

import shutil
import subprocess
from pathlib import Path

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

from mimyria.frame import Frame
from mimyria.storage import read_result
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import Pipeline
from mimyria_driver.results import make_exit_file
from mimyria_driver.sources import Ended, Started

N_FRAMES = 4000
LOOKS = (2178, 2613, 3136, 3763)  # 50 × 21 lags × 1.2^k, rounded up; 8 blocks of 256


def noisy(n_frames):
    """Atoms that stay where they are, with velocities of white noise."""
    (first,) = trajectory(1)
    rng = np.random.default_rng(3)
    return [
        Frame(
            first.numbers,
            first.positions,
            first.cell,
            rng.normal(0.0, 0.004, (6, 3)),
            index * STRIDE,
        )
        for index in range(n_frames)
    ]


def settings(directory, **changes):
    return make_settings(
        directory,
        source={"check_velocities": "warn"},  # these are noise
        spectrum={"resolution": 1250.0, "refresh": 1000.0},
        convergence={"ir": 0.2, "raman": 0.4, "stop": True, **changes},
    )


def run(directory, frames, **changes):
    events = [Started(description()), *arrivals(frames), Ended("the end")]
    assert serve(settings(directory, **changes), ScriptedSource(events)) == 0
    return read_result(directory / "spectrum.h5"), read_status(directory)


def test_a_run_ends_when_its_spectra_are_good_enough_and_so_does_its_repetition(
    tmp_path, monkeypatch
):
    # These atoms have no temperature; tests/unit/driver/test_progress.py has the rest.
    monkeypatch.setattr(Pipeline, "diagnostics", lambda _: (), raising=False)
    frames = noisy(N_FRAMES)
    (tmp_path / "one").mkdir()
    sign = tmp_path / "EXIT"
    result, status = run(tmp_path / "one", frames, exit_file=str(sign))
    assert sign.exists()
    n_frames = result.provenance["frames"]
    assert n_frames in LOOKS
    reason = f"converged after {n_frames} frames: ir "
    assert result.provenance["convergence"].startswith(reason)
    assert result.provenance["status"] == "ended"
    assert status["message"].startswith(reason)
    assert status["state"] == "ended"
    assert status["durable"] == n_frames
    assert status["errors"]["ir"] <= 0.2
    assert all(band["from_blocks"] for band in status["bands"])
    (tmp_path / "two").mkdir()
    again, _ = run(tmp_path / "two", frames)
    assert np.array_equal(again.dipole.values, result.dipole.values)
    assert again.provenance["frames"] == n_frames


def test_a_run_that_does_not_get_there_takes_all_frames(tmp_path):
    sign = tmp_path / "CONVERGED"
    result, status = run(tmp_path, noisy(1200), ir=0.001, exit_file=str(sign))
    assert not sign.exists()
    assert result.provenance["frames"] == 1200
    assert result.provenance["convergence"].startswith("not yet: ")
    assert status["message"] == "the end"


def test_a_sign_that_cannot_be_made_loses_nothing(tmp_path, caplog):
    make_exit_file(tmp_path / "gone" / "EXIT")
    assert "could not be made, so the engine goes on" in caplog.text


HALT = """
units metal
lattice fcc 5.26
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 39.95
pair_style lj/cut 5
pair_coeff 1 1 0.0104 3.4
fix 1 all nve
variable done equal is_file(CONVERGED)
fix stop all halt 10 v_done > 0 error continue
run 20
shell touch CONVERGED
run 1000
print "ended at $(step)"
"""


@pytest.mark.engine
@pytest.mark.skipif(shutil.which("lmp") is None, reason="there is no lmp")
def test_the_halt_of_the_manual_ends_lammps(tmp_path):
    (tmp_path / "in.halt").write_text(HALT)
    manual = Path(__file__).parents[3] / "docs" / "driver.md"
    for line in ("is_file(CONVERGED)", "v_done > 0 error continue"):
        assert line in manual.read_text()
        assert line in HALT
    finished = subprocess.run(
        ["lmp", "-in", "in.halt", "-log", "none"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "ended at 30" in finished.stdout
