"""The shipped job script under a real Slurm: warned, queued again, whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mimyria_driver.reading import read_journal
from tests.integration.service.growing import n_records

pytestmark = [pytest.mark.engine, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[3]
SERVICE = REPOSITORY / "tests" / "integration" / "service"
SCRIPT = REPOSITORY / "inputs" / "slurm" / "mimyria.sbatch"
N_FRAMES = 300


def commands(folder, pause):
    """Engine and driver, in the environment of the job."""
    python, endpoint = sys.executable, f"ipc://{folder}/s"
    return {
        "DRIVER": f"{python} {SERVICE}/states.py socket {folder}/run {endpoint}",
        "ENGINE": f"{python} {SERVICE}/exact_engine.py {endpoint} {N_FRAMES} {pause}",
    }


@pytest.fixture
def submit(private_slurm, tmp_path, look, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    folder = tmp_path / "job"
    folder.mkdir()

    def send(*options, pause=0.02):
        done = subprocess.run(
            ["sbatch", "--parsable", *options, str(SCRIPT)],
            cwd=folder,
            env={**os.environ, **private_slurm.environment, **commands(folder, pause)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip(), folder

    yield send
    for job in private_slurm.jobs():
        private_slurm.call("scancel", job)
    look.until(lambda: private_slurm.jobs() == [], 60)


def state_of(slurm, job):
    return slurm.call("squeue", "-hj", job, "-o", "%T").strip()


def test_job_that_is_warned_goes_on_as_the_same_job(submit, private_slurm, look):
    job, folder = submit("--time=00:10:00")
    log = folder / f"mimyria-{job}.out"
    for restart, at in ((1, 60), (2, 160)):
        look.until(lambda at=at: n_records(folder / "run") >= at, 90)
        private_slurm.call("scancel", "--batch", "--signal=USR1", job)
        look.until(lambda: state_of(private_slurm, job) == "PENDING", 60)
        assert n_records(folder / "run") < N_FRAMES
        assert "driver 75" in log.read_text()
        status = json.loads((folder / "run" / "status.json").read_text())
        assert status["state"] == "stopped"
        assert status["job"]["id"] == job
        assert status["job"]["restarts"] == restart - 1
        assert 0 < status["job"]["seconds_left"] <= 600
        # Slurm lets a job that was queued again wait for two minutes; not here.
        private_slurm.call("scontrol", "update", f"jobid={job}", "StartTime=now")
    look.until(lambda: state_of(private_slurm, job) in ("", "COMPLETED"), 120)
    assert "driver 0, engine 0" in log.read_text(), log.read_text()
    status = json.loads((folder / "run" / "status.json").read_text())
    assert (status["state"], status["job"]["restarts"]) == ("ended", 2)
    steps = [record.step for record in read_journal(folder / "run" / "journal")]
    assert steps == [4 * index for index in range(N_FRAMES)]
    assert (status["segments"], status["missing"]) == (1, 0)


def test_warning_of_slurm_itself_reaches_the_driver(submit, private_slurm, look):
    job, folder = submit("--time=00:01:00", "--signal=B:USR1@30", pause=1.0)
    log = folder / f"mimyria-{job}.out"
    look.until(lambda: log.exists() and "USR1" in log.read_text(), 120)
    look.until(lambda: state_of(private_slurm, job) == "PENDING", 60)
    assert "driver 75, engine 143 (ended by this script), USR1" in log.read_text()
