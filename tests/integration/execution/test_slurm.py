"""Slurm for real, private to the tests, with all that goes wrong on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from mimyria.errors import CalculationError
from mimyria.reference.execution import ExecutionSettings, engine

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SETTINGS = {
    "where": "slurm",
    "workers": 2,
    "walltime": "00:05:00",
    "address": "127.0.0.1",
    "heartbeat": 2,
    "poll": 2,
}
SUBMITTER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # off in background jobs
import json, sys
from concurrent.futures import wait
from pathlib import Path
from mimyria.reference.execution import ExecutionSettings, engine
settings = ExecutionSettings(**json.loads(sys.argv[1]))
folders = [Path(each) for each in sys.argv[2:]]
with engine(settings, folders[0].parent.parent, "standin:long") as workers:
    wait([workers.submit(folder) for folder in folders])
"""


@pytest.fixture
def slurm(private_slurm, monkeypatch, look):
    """Slurm with no job in it, before and after."""
    for name, value in private_slurm.environment.items():
        monkeypatch.setenv(name, value)
    assert private_slurm.jobs() == []
    yield private_slurm
    look.until(lambda: private_slurm.jobs() == [], 20)  # a cancelled one takes a while


def timed(folders, seconds):
    for folder in folders:
        (folder / "seconds").write_text(str(seconds))


def jobs_of(folders):
    return {(folder / "job").read_text() for folder in folders}


@pytest.fixture
def cluster(slurm, tasks):
    """Opens an engine on Slurm with changed settings."""
    folders = tasks(4)

    def opened(task="standin:minute", **changes):
        settings = ExecutionSettings(**{**SETTINGS, **changes})
        return engine(settings, folders[0].parent.parent, task)

    return opened


def test_tasks_run_in_a_job_with_their_threads_and_no_job_is_left(
    slurm, cluster, tasks
):
    folders = tasks(4)
    timed(folders, 0)
    before = set(threading.enumerate())
    with cluster(threads=2) as workers:
        futures = [workers.submit(folder) for folder in folders]
        assert [future.exception(timeout=120) for future in futures] == [None] * 4
        (job,) = slurm.jobs()
    assert jobs_of(folders) == {job}
    assert {(folder / "threads").read_text() for folder in folders} == {"2"}
    assert set(threading.enumerate()) <= before
    made = folders[0].parent.parent / "cluster"
    assert "Scaling out by 1 blocks" in (made / "parsl.log").read_text()
    secrets = list(made.glob("*/tasks/certificates/*_secret"))
    assert len(secrets) == 2
    assert all(secret.parent.stat().st_mode & 0o077 == 0 for secret in secrets)


def test_a_cancelled_job_is_told_and_its_tasks_can_be_tried_again(
    slurm, cluster, tasks, look
):
    folders = tasks(3)
    with cluster("standin:long") as workers:
        futures = [workers.submit(folder) for folder in folders]
        started = [
            look.number(folder / name, 120)
            for folder in folders[:2]
            for name in ("running", "program")
        ]
        (first,) = slurm.jobs()
        slurm.call("scancel", first)
        for index in range(2):
            with pytest.raises(CalculationError, match=rf"000{index}: ManagerLost"):
                futures[index].result(timeout=60)
        look.until(lambda: not any(look.alive(pid) for pid in started), 5)
        again = [workers.submit(folder) for folder in folders[:2]]
        look.number(folders[2] / "running", 120)
        (second,) = slurm.jobs()
        (folders[2] / "go").touch()
        assert futures[2].exception(timeout=120) is None
        assert [future.exception(timeout=120) for future in again] == [None, None]
    assert first != second
    assert all((folder / "done").exists() for folder in folders)


def test_the_walltime_ends_a_job_and_the_rest_goes_on_in_another(slurm, cluster, tasks):
    folders = tasks(3)
    timed(folders, 0)
    timed(folders[:1], 600)
    with cluster(walltime="00:01:00", workers=1) as workers:
        futures = [workers.submit(folder) for folder in folders]
        with pytest.raises(CalculationError, match="0000: ManagerLost"):
            futures[0].result(timeout=200)
        assert [future.exception(timeout=120) for future in futures[1:]] == [None] * 2
    assert len(jobs_of(folders)) == 2
    assert not (folders[0] / "done").exists()


def test_a_queue_that_does_not_answer_is_not_taken_for_the_end(
    slurm, cluster, tasks, tmp_path, monkeypatch, look
):
    folders = tasks(2)
    timed(folders, 15)
    asked = tmp_path / "asked"
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(
        f"#!/bin/sh\necho once >> {asked}\n"
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n"
    )
    path = os.environ["PATH"]
    with cluster(workers=1, max_blocks=1) as workers:
        futures = [workers.submit(folder) for folder in folders]
        look.number(folders[0] / "running", 120)
        squeue.chmod(0o755)
        monkeypatch.setenv("PATH", f"{squeue.parent}{os.pathsep}{path}")
        look.until(lambda: asked.exists() and len(asked.read_text().split()) > 1, 60)
        monkeypatch.setenv("PATH", path)
        assert [future.exception(timeout=120) for future in futures] == [None, None]
        assert len(slurm.jobs()) == 1
    assert len(jobs_of(folders)) == 1


def test_a_partition_that_is_not_there_is_told(cluster, tasks):
    folders = tasks(1)
    with cluster(partition="nowhere") as workers:
        future = workers.submit(folders[0])
        with pytest.raises(CalculationError, match="invalid partition specified"):
            future.result(timeout=120)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_submitter_that_is_stopped_leaves_no_job(slurm, tasks, look, how):
    folders = tasks(3)
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTER, json.dumps(SETTINGS), *map(str, folders)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        started = [
            look.number(folder / name, 120)
            for folder in folders[:2]
            for name in ("running", "program")
        ]
        process.send_signal(how)
        assert process.wait(timeout=15) != 0
        look.until(lambda: not any(look.alive(pid) for pid in started), 30)
        look.until(lambda: slurm.jobs() == [], 30)
    finally:
        process.kill()
        process.wait()
    assert not any((folder / "done").exists() for folder in folders)
    assert not (folders[2] / "running").exists()
