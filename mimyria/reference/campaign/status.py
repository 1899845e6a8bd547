"""Where a campaign stands, and what is left of it costs, from the points so far."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mimyria.errors import CalculationError
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.tasks import Task, load_point

__all__ = ["CampaignStatus", "TaskReport", "campaign_status"]

_ENOUGH: Final = 50  # points for a mean; a large campaign is not read every second


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One task in the view of a person.

    Attributes:
        name: of the task.
        state: `planned`, `running`, `done`, `failed`, or `interrupted` where it was
            begun and nobody works on it.
        n_finished: points that are there.
        reason: why it failed.
        failures: how often.
    """

    name: str
    state: str
    n_finished: int
    reason: str
    failures: int


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """All tasks, and the mean cost of a point.

    Attributes:
        tasks: a report each.
        n_fields: points of a task.
        zero_seconds: mean time of a point at zero field; NaN before the first.
        field_seconds: mean time of another point; NaN before the first.
    """

    tasks: tuple[TaskReport, ...]
    n_fields: int
    zero_seconds: float
    field_seconds: float

    def count(self, state: str) -> int:
        """Number of tasks in a state."""
        return sum(task.state == state for task in self.tasks)

    @property
    def n_points(self) -> int:
        """Points of all tasks."""
        return self.n_fields * len(self.tasks)

    @property
    def n_finished(self) -> int:
        """Points that are there."""
        return sum(task.n_finished for task in self.tasks)

    @property
    def seconds_left(self) -> float:
        """Time that all missing points take one after the other; NaN if unknown.

        Before the first point in a field it is taken to cost what one without does.
        """
        total = 0.0
        field = self.field_seconds
        if math.isnan(field):
            field = self.zero_seconds
        for task in self.tasks:
            if task.state == "done" or (task.state == "failed"):
                continue
            missing = self.n_fields - task.n_finished
            if task.n_finished == 0:
                total += self.zero_seconds
                missing -= 1
            total += missing * field
        return total


def campaign_status(plan: Plan) -> CampaignStatus:
    """Look at all task folders."""
    n_fields = len(plan.fields)
    tasks = plan.tasks()
    reports = tuple(_report(task, n_fields) for task in tasks)
    zero, others = [], []
    for task in tasks:
        zero += _seconds(task, range(1))
        others += _seconds(task, range(1, n_fields))
        if len(others) >= _ENOUGH:
            break
    return CampaignStatus(reports, n_fields, _mean(zero), _mean(others))


def _report(task: Task, n_fields: int) -> TaskReport:
    state = task.state()
    name = state.state
    if name == "running" and not task.is_at_work():
        name = "interrupted"
    return TaskReport(
        task.name, name, task.n_finished(n_fields), state.reason, state.failures
    )


def _seconds(task: Task, indices: range) -> list[float]:
    """Times of the points that are there."""
    seconds = []
    for index in indices:
        with suppress(CalculationError):  # a damaged point is computed again
            stored = load_point(task.point_folder(index))
            if stored is not None:
                seconds.append(stored.seconds)
    return seconds


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
