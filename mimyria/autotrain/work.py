"""What the process of a task does: train a member, join them, evaluate a trajectory.

Everything is in the folder of the task and in the files that `task.json` names, so that
it may run on any machine that sees them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mimyria.autotrain.tasks import PROGRESS, read_task

__all__ = ["KINDS", "run_task"]

_EVERY: Final = 1.0  # s between two notes of progress

Progress = Callable[[float], None]


def run_task(folder: str) -> None:
    """Do one task, or what is left of it.

    Args:
        folder: of the task.
    """
    import torch

    # The same number everywhere, so that the bits do not depend on the machine.
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    _do(Path(folder))


def _do(path: Path) -> None:
    task = read_task(path)
    if task["kind"] == "lane":
        for name in task["tasks"]:
            _do((path / name).resolve())
    elif not (path / task["output"]).is_file():
        KINDS[task["kind"]](path, task, _progress(path))


def _progress(folder: Path) -> Progress:
    """Notes how far the task is; a note that is lost does no harm."""
    last = 0.0

    def note(fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            with suppress(OSError):
                (folder / PROGRESS).write_text(f"{fraction:.4f}")

    return note


def _member(folder: Path, task: Mapping[str, Any], progress: Progress) -> None:
    from mimyria.autotrain.learning import train_member

    train_member(folder, task, progress)


def _join(folder: Path, task: Mapping[str, Any], progress: Progress) -> None:
    from mimyria.autotrain.learning import join_committee

    join_committee(folder, task)


def _evaluate(folder: Path, task: Mapping[str, Any], progress: Progress) -> None:
    from mimyria.autotrain.evaluating import evaluate_frames

    evaluate_frames(folder, task, progress)


def _export(folder: Path, task: Mapping[str, Any], progress: Progress) -> None:
    from mimyria.models import export_model

    export_model(folder / task["model"], folder / task["output"])


KINDS: Final = {
    "member": _member,
    "join": _join,
    "evaluate": _evaluate,
    "export": _export,
}
