"""Autotrain on a cluster: reference calculations, trainings and evaluations as jobs."""

from __future__ import annotations

import json
import os
import time

import pytest

from mimyria.autotrain.state import RunFolder
from tests.integration.autotrain.analytic import SETTINGS, finish, start, write_run

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STOPPED = 75
ON_SLURM = """
[execution]
where = "slurm"
workers = 2
walltime = "00:30:00"
address = "127.0.0.1"
heartbeat = 2
poll = 2

[compute]
where = "slurm"
workers = 2
walltime = "00:30:00"
address = "127.0.0.1"
heartbeat = 2
poll = 2
"""
ONE_CYCLE = SETTINGS.replace("max_cycles = 2", "max_cycles = 1")


@pytest.fixture
def slurm(private_slurm, monkeypatch):
    """Slurm with no job in it, before and after."""
    for name, value in private_slurm.environment.items():
        monkeypatch.setenv(name, value)
    assert private_slurm.jobs() == []
    yield private_slurm
    end = time.monotonic() + 30
    while private_slurm.jobs():
        assert time.monotonic() < end, "a job was left"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A run of one cycle on this machine."""
    folder = tmp_path_factory.mktemp("local")
    write_run(folder, ONE_CYCLE)
    finish(start(folder, "run.toml"), STOPPED, 900)
    return marks(folder)


def marks(folder):
    """Digest of the mark of each step, and so of all files that it names."""
    run = RunFolder(folder / "run")
    found = run.marks()
    for mark in found.values():
        run.verify(mark)
    return {name: mark.digest for name, mark in found.items()}


def has_job(slurm, process):
    """Wait until a job runs; its number."""
    end = time.monotonic() + 120
    while not (jobs := slurm.jobs()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "no job"
        time.sleep(0.2)
    return jobs[0]


@pytest.mark.timeout(1800)
def test_it_ends_with_the_same_marks_as_on_this_machine(slurm, local, tmp_path):
    write_run(tmp_path, ONE_CYCLE + ON_SLURM)
    process = start(tmp_path, "run.toml")
    has_job(slurm, process)
    said = finish(process, STOPPED, 1200)
    assert "ended: autotrain.max_cycles = 1 cycles are done" in said
    assert marks(tmp_path) == local
    # Every kind of work was done in a job, and not here.
    run = tmp_path / "run"
    for folder in ("test/campaign", "cycle-001/train", "cycle-001/evaluate"):
        assert list((run / folder).rglob("parsl.log")), folder
    states = [json.loads(path.read_text()) for path in run.rglob("tasks/*/state.json")]
    assert {state["state"] for state in states} == {"done"}


@pytest.mark.timeout(1800)
def test_a_cancelled_job_and_a_signal_cost_nothing(slurm, local, tmp_path):
    write_run(tmp_path, ONE_CYCLE + ON_SLURM)
    run = RunFolder(tmp_path / "run")
    process = start(tmp_path, "run.toml")
    while "cycle-001/reference" not in run.marks():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    # A job of the training is taken away; its tasks are tried once more.
    slurm.call("scancel", has_job(slurm, process))
    while not list(run.root.glob("cycle-001/train/joint/member-*/progress")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.kill(process.pid, 15)
    assert "stopped by a signal; the same command goes on" in finish(process, STOPPED)
    finish(start(tmp_path, "run.toml"), STOPPED, 1200)
    assert marks(tmp_path) == local
