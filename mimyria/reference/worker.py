"""What a worker does: one task, point after point, each kept as soon as it is there.

The outcome is the state of the task's folder. A calculation that fails is such an
outcome and no error of the worker, so that one bad configuration never stops others.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from mimyria.errors import CalculationError, MimyriaError
from mimyria.frame import Array
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.settings import load_code
from mimyria.reference.campaign.tasks import Task, load_point, store_point
from mimyria.reference.codes.protocol import Code, SinglePoint

__all__ = ["compute_point", "run_task"]

_SAME_FIELD = 1e-9  # a.u.; a code that applies another field than asked for is wrong


def run_task(folder: str) -> None:
    """Do what is left of one task.

    Args:
        folder: of the task, `…/tasks/0008`.
    """
    task = Task(Path(folder))
    with task.lock() as ours:
        if not ours or task.state().state == "done":
            return
        try:
            _compute(task)
        except MimyriaError as error:
            task.fail(" ".join(str(error).split()))
        except OSError as error:
            task.fail(f"{type(error).__name__}: {error}")


def _compute(task: Task) -> None:
    plan = Plan.load(task.folder.parent.parent)
    code = load_code(plan.settings_path)
    plan.require_same_code(code)
    version = code.version()
    state = replace(
        task.state(),
        state="running",
        where=f"{socket.gethostname()}, process {os.getpid()}",
        version=f"{code.name} {version}",
    )
    task.write_state(state)
    configuration = task.configuration()
    code.check(configuration.frame)
    own = configuration.info.get("guess")
    for index, field in enumerate(plan.fields):
        guess = task.point_folder(0) if index else None
        if own is not None:
            guess = task.folder / str(own)
        compute_point(code, configuration, field, task.point_folder(index), guess)
    task.write_state(replace(state, state="done", reason=""))


def compute_point(
    code: Code,
    configuration: LabelledFrame,
    field: Array,
    folder: Path,
    guess: Path | None,
) -> SinglePoint:
    """One point, computed unless it is there already.

    Raises:
        CalculationError: it failed; the text says at which field.
    """
    stored = load_point(folder)
    if stored is not None and np.abs(stored.point.field - field).max() < _SAME_FIELD:
        return stored.point
    folder.mkdir(exist_ok=True, parents=True)
    began = time.monotonic()
    frame = configuration.frame
    try:
        point = code.single_point(frame, field, folder, guess)
    except CalculationError as error:
        vector = ", ".join(f"{x:g}" for x in field)
        raise CalculationError(f"{folder.name}, field ({vector}): {error}") from error
    if point.forces.shape != frame.positions.shape:
        raise CalculationError(
            f"{folder.name}: {len(point.forces)} forces for {frame.n_atoms} atoms."
        )
    if np.abs(point.field - field).max() >= _SAME_FIELD:
        raise CalculationError(
            f"{folder.name}: the field {point.field} was applied instead of {field}."
        )
    store_point(folder, point, time.monotonic() - began)
    return point
