"""Local execution with real processes, killed in all the ways that happen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from mimyria.errors import CalculationError
from mimyria.reference.execution import ExecutionSettings, engine

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks at /proc"
)

SUBMITTER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # off in background jobs
import sys
from concurrent.futures import wait
from pathlib import Path
from mimyria.reference.execution import ExecutionSettings, engine
folders = [Path(each) for each in sys.argv[1:]]
with engine(ExecutionSettings(workers=2), folders[0].parent, "standin:long") as workers:
    wait([workers.submit(folder) for folder in folders])
"""


def run(folders, task, **settings):
    """Do all tasks; returns the exception of each."""
    with engine(ExecutionSettings(**settings), folders[0].parent, task) as workers:
        futures = [workers.submit(folder) for folder in folders]
        return [future.exception(timeout=60) for future in futures]


@pytest.fixture
def submitter(tasks, look):
    """A process that has submitted three tasks, of which two run."""
    folders = tasks(3)
    process = subprocess.Popen(
        [sys.executable, "-c", SUBMITTER, *map(str, folders)],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    started = [
        look.number(folder / name)
        for folder in folders[:2]
        for name in ("running", "program")
    ]
    assert all(look.alive(pid) for pid in started)
    yield process, started, folders
    process.kill()
    process.wait()


def test_a_task_has_its_threads_and_no_standard_input(tasks):
    folders = tasks(2)
    assert run(folders, "standin:quick", threads=3) == [None, None]
    for folder in folders:
        assert (folder / "threads").read_text() == "3"
        assert (folder / "stdin").read_text() == ""
    pids = {(folder / "done").read_text() for folder in folders}
    assert len(pids) == 2
    assert str(os.getpid()) not in pids


def test_as_many_tasks_run_at_once_as_there_are_workers(tasks):
    folders = tasks(2)
    assert run(folders, "standin:meet", workers=2) == [None, None]


def test_an_error_of_the_program_is_told_by_its_last_line(tasks):
    (error,) = run(tasks(1), "standin:broken")
    assert isinstance(error, CalculationError)
    with pytest.raises(
        CalculationError,
        match=r"0000: its process ended with exit code 1; its last line is: "
        r"RuntimeError: broken on purpose",
    ):
        raise error


def test_a_killed_worker_costs_one_task_and_what_it_started_dies(tasks, look):
    folders = tasks(3)
    settings = ExecutionSettings(workers=2)
    with engine(settings, folders[0].parent, "standin:long") as workers:
        futures = [workers.submit(folder) for folder in folders]
        programs = [look.number(folder / "program") for folder in folders[:2]]
        os.kill(look.number(folders[0] / "running"), signal.SIGKILL)
        with pytest.raises(CalculationError, match=r"0000: .* signal 9 \(SIGKILL\)"):
            futures[0].result(timeout=60)
        assert not look.alive(programs[0])
        assert look.alive(programs[1])
        for folder in folders[1:]:
            (folder / "go").touch()
        assert futures[1].result(timeout=30) is None
        assert futures[2].result(timeout=30) is None
        assert workers.submit(folders[0]).result(timeout=30) is None
    assert all((folder / "done").exists() for folder in folders)


def test_nothing_is_left_of_a_task_that_ended_well(tasks, look):
    (folder,) = tasks(1)
    threads = set(threading.enumerate())
    assert run([folder], "standin:leaves_a_process") == [None]
    assert not look.alive(int((folder / "program").read_text()))
    assert set(threading.enumerate()) <= threads
    assert sorted(path.name for path in folder.parent.iterdir()) == ["0000"]


def test_leaving_by_an_exception_ends_what_runs_and_forgets_what_waits(tasks, look):
    folders = tasks(2)
    futures = []

    def leave():
        with engine(ExecutionSettings(), folders[0].parent, "standin:long") as workers:
            futures.extend(workers.submit(folder) for folder in folders)
            look.number(folders[0] / "program")
            look.number(folders[0] / "running")
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        leave()
    started = [look.number(folders[0] / name) for name in ("running", "program")]
    assert not any(look.alive(pid) for pid in started)
    assert isinstance(futures[0].exception(timeout=0), CalculationError)
    assert futures[1].cancelled()
    assert not (folders[1] / "running").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_submitter_that_is_stopped_leaves_no_process(submitter, look, how):
    process, started, folders = submitter
    process.send_signal(how)
    assert process.wait(timeout=60) != 0
    look.until(lambda: not any(look.alive(pid) for pid in started), 60)
    assert not (folders[2] / "running").exists()
    assert not any((folder / "done").exists() for folder in folders)


def test_a_new_start_does_the_tasks_of_a_killed_one(submitter):
    process, _, folders = submitter
    process.kill()
    process.wait()
    (folders[2] / "again").touch()
    assert run(folders, "standin:long", workers=2) == [None] * 3
    assert all((folder / "done").exists() for folder in folders)


def test_a_task_whose_folder_is_gone_is_an_error_of_that_task(tasks, tmp_path):
    folders = [*tasks(1), tmp_path / "nowhere"]
    first, second = run(folders, "standin:quick")
    assert first is None
    with pytest.raises(CalculationError, match="nowhere: FileNotFoundError"):
        raise second


def test_importing_the_engine_imports_no_cluster():
    code = (
        "import sys, mimyria.reference.execution\n"
        "print([m for m in ('parsl', 'zmq', 'torch', 'ase') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
