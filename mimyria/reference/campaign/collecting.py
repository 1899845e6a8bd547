"""Collecting: what is finished becomes a set, what failed a list of reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimyria.errors import MimyriaError
from mimyria.frame import Array
from mimyria.reference.campaign.checking import read_checks
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.planning import central_mask
from mimyria.reference.campaign.tasks import StoredPoint, Task
from mimyria.reference.referenceset import ReferenceFrame

__all__ = ["Harvest", "collect"]


@dataclass(frozen=True, slots=True, eq=False)
class Harvest:
    """What a campaign has given so far.

    Attributes:
        frames: of the tasks that are done.
        unfinished: names of those that are not.
        failed: names of those that failed, with the reason.
    """

    frames: list[ReferenceFrame]
    unfinished: list[str]
    failed: dict[str, str]


def collect(plan: Plan, charge: int) -> Harvest:
    """Read all tasks; one that cannot be read counts as failed.

    Args:
        plan: of the campaign.
        charge: total charge of every frame, e, as the code has computed it.
    """
    harvest = Harvest([], [], {})
    checks = read_checks(plan.folder)
    for task in plan.tasks():
        state = task.state()
        if state.state == "failed":
            harvest.failed[task.name] = state.reason
        elif state.state != "done":
            harvest.unfinished.append(task.name)
        else:
            try:
                frame = _reference_frame(task, plan, charge)
                displaced = checks.get(task.name)
                harvest.frames.append(replace(frame, displaced=displaced))
            except (MimyriaError, FileNotFoundError) as error:
                harvest.failed[task.name] = str(error)
    return harvest


def _reference_frame(task: Task, plan: Plan, charge: int) -> ReferenceFrame:
    configuration = task.configuration()
    stored = task.all_points(len(plan.fields))
    info = {
        **{key: value for key, value in configuration.info.items() if key != "id"},
        "code": task.state().version,
        "settings_sha256": plan.identity,
        "step_au": float(np.abs(plan.fields).max()),
    }
    return ReferenceFrame(
        task.name,
        configuration.frame,
        np.stack([each.point.field for each in stored]),
        np.stack([each.point.forces for each in stored]),
        {key: value for key, value in info.items() if key != "charge"},
        float(charge),
        central_mask(configuration),
        _stacked([each.point.dipole for each in stored]),
        _energies(stored),
    )


def _stacked(values: list[Array | None]) -> Array | None:
    present = [value for value in values if value is not None]
    return np.stack(present) if len(present) == len(values) else None


def _energies(stored: list[StoredPoint]) -> Array | None:
    energies = [each.point.energy for each in stored if each.point.energy is not None]
    return np.array(energies) if len(energies) == len(stored) else None
