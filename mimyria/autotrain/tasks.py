"""Tasks: trainings and evaluations in processes of their own, here or on a cluster.

A task is a folder with `task.json`; the process that does it calls `work.run_task` and
leaves the file that `task.json` names as its output. What is there is not done again,
so that a killed run goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mimyria.errors import CalculationError
from mimyria.files import make_folder, replace_file
from mimyria.reference.execution import ExecutionSettings, engine

__all__ = [
    "COMMITTEE",
    "ERRORS",
    "MEMBER",
    "PROGRESS",
    "TASK",
    "TaskFolder",
    "read_task",
    "run_tasks",
]

MEMBER: Final = "member.mimyria"
COMMITTEE: Final = "committee.mimyria"
ERRORS: Final = "errors.json"
TASK: Final = "task.json"
PROGRESS: Final = "progress"
RUN_TASK: Final = "mimyria.autotrain.work:run_task"

_LOOK: Final = 0.5  # s between two looks at how far tasks are
_TRIES: Final = 2  # a process that was killed, for want of memory say, is tried again


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """One task.

    Attributes:
        path: its folder.
        output: name of the file in it that says the task is done.
    """

    path: Path
    output: str

    @classmethod
    def make(cls, path: Path, kind: str, output: str, **values: Any) -> TaskFolder:  # noqa: ANN401
        """Write what is to be done, unless it stands there already.

        Args:
            path: folder of the task.
            kind: key of `work.KINDS`.
            output: see `TaskFolder`.
            **values: what the work needs; files relative to the folder.
        """
        make_folder(path)
        content = {"kind": kind, "output": output, **values}
        text = json.dumps(content, indent=1, sort_keys=True).encode()
        file = path / TASK
        if not file.is_file() or file.read_bytes() != text:
            replace_file(file, text)
        return cls(path, output)

    @property
    def result(self) -> Path:
        """The output."""
        return self.path / self.output

    @property
    def is_done(self) -> bool:
        """Whether the output is there."""
        return self.result.is_file()

    def fraction(self) -> float:
        """How far it is, from 0 to 1."""
        if self.is_done:
            return 1.0
        try:
            return min(1.0, max(0.0, float((self.path / PROGRESS).read_text())))
        except (OSError, ValueError):
            return 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """Tasks that one process does, one after the other.

    Attributes:
        path: folder of the process.
        tasks: in their order.
    """

    path: Path
    tasks: tuple[TaskFolder, ...]

    @property
    def is_done(self) -> bool:
        """Whether all of them are."""
        return all(task.is_done for task in self.tasks)


def run_tasks(
    tasks: Sequence[TaskFolder],
    settings: ExecutionSettings,
    folder: Path,
    tell: Callable[[float], None],
) -> None:
    """Do all that is not done; returns when everything is.

    Args:
        tasks: independent of each other.
        settings: where they run, and how many at once.
        folder: for the engine's own files.
        tell: hears how far all of them are, from 0 to 1.

    Raises:
        CalculationError: a task failed; the text names its log.
    """
    waiting = [task for task in tasks if not task.is_done]
    if not waiting:
        return
    with engine(settings, folder, RUN_TASK) as workers:
        tries: dict[Path, int] = {}
        running = {
            workers.submit(each.path): each
            for each in _lanes(waiting, settings, folder)
        }
        while running:
            finished, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in finished:
                lane = running.pop(future)
                error = future.exception()
                if error is None and lane.is_done:
                    continue
                tries[lane.path] = tries.get(lane.path, 1) + 1
                if tries[lane.path] > _TRIES or not _was_lost(error):
                    raise _failure(lane, error)
                running[workers.submit(lane.path)] = lane
            tell(sum(task.fraction() for task in tasks) / len(tasks))


def _lanes(
    tasks: Sequence[TaskFolder], settings: ExecutionSettings, folder: Path
) -> list[TaskFolder | Lane]:
    """On this machine a process does several tasks: it takes seconds to begin."""
    if settings.where != "local" or len(tasks) <= settings.workers:
        return list(tasks)
    lanes: list[TaskFolder | Lane] = []
    for k in range(settings.workers):
        own = tuple(tasks[k :: settings.workers])
        path = folder / f"lane-{k + 1}"
        TaskFolder.make(
            path, "lane", "", tasks=[os.path.relpath(t.path, path) for t in own]
        )
        lanes.append(Lane(path, own))
    return lanes


def _was_lost(error: BaseException | None) -> bool:
    """Whether the process or its machine was lost, and not an error of the work."""
    return error is not None and "ended with exit code" not in str(error)


def _failure(task: TaskFolder | Lane, error: BaseException | None) -> CalculationError:
    reason = str(error) if error is not None else "it left no output"
    return CalculationError(f"{task.path}: {' '.join(reason.split())}")


def read_task(folder: Path) -> Mapping[str, Any]:
    """What is to be done in a folder."""
    content: dict[str, Any] = json.loads((folder / TASK).read_text(encoding="utf-8"))
    return content
