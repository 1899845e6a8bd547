"""Tasks: what is done is not done again, and a process that is lost is replaced."""

from __future__ import annotations

import json

import pytest

from mimyria.autotrain.tasks import PROGRESS, TASK, TaskFolder, run_tasks
from mimyria.errors import CalculationError
from mimyria.reference.execution import ExecutionSettings


def test_a_task_is_written_once_and_done_when_its_output_is_there(tmp_path):
    task = TaskFolder.make(tmp_path / "a", "export", "model.pt", model="x")
    file = tmp_path / "a" / TASK
    assert json.loads(file.read_text()) == {
        "kind": "export",
        "output": "model.pt",
        "model": "x",
    }
    before = file.stat().st_mtime_ns
    TaskFolder.make(tmp_path / "a", "export", "model.pt", model="x")
    assert file.stat().st_mtime_ns == before
    assert (task.is_done, task.fraction()) == (False, 0.0)
    (task.path / PROGRESS).write_text("0.25")
    assert task.fraction() == 0.25
    (task.path / PROGRESS).write_text("nonsense")
    assert task.fraction() == 0.0
    task.result.write_text("done")
    assert (task.is_done, task.fraction()) == (True, 1.0)


def test_what_is_done_starts_no_process(tmp_path):
    task = TaskFolder.make(tmp_path / "a", "export", "model.pt", model="missing")
    task.result.write_text("done")
    told = []
    run_tasks([task], ExecutionSettings(), tmp_path, told.append)
    assert told == []


@pytest.mark.slow
def test_a_task_that_fails_ends_all_and_names_its_log(tmp_path):
    tasks = [
        TaskFolder.make(tmp_path / name, "export", "model.pt", model="missing")
        for name in "ab"
    ]
    with pytest.raises(CalculationError, match=r"exit code 1; its last line is: .*Mod"):
        run_tasks(tasks, ExecutionSettings(), tmp_path, lambda fraction: None)
