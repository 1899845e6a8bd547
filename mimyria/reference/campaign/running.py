"""Running a campaign: tasks go to an engine, come back, and are tried again if need be.

What a task came to stands in its folder, whoever worked on it. So a campaign may be
killed and started again at any time, or run by several processes at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import Final

from mimyria.errors import MimyriaError
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.status import CampaignStatus, campaign_status
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.execution import ExecutionSettings, engine

__all__ = ["RunEvent", "run_campaign"]

_LOOK: Final = 1.0  # s between two looks at how far the tasks are


@dataclass(frozen=True, slots=True)
class RunEvent:
    """How far the campaign is, and the task that has just ended, if one has.

    Attributes:
        status: of the whole campaign.
        ended: the task.
        retried: whether it has failed and is tried again.
    """

    status: CampaignStatus
    ended: Task | None = None
    retried: bool = False


def run_campaign(
    plan: Plan, execution: ExecutionSettings, retries: int, *, again: bool = False
) -> Iterator[RunEvent]:
    """Run all tasks that are not done; yields about once a second, and at each end.

    Args:
        plan: of the campaign.
        execution: where and how many at once.
        retries: how often a failed task is tried again.
        again: also try tasks that had used up their tries.
    """
    waiting = []
    for task in plan.tasks():
        state = task.state()
        if state.state == "done":
            continue
        if again and state.state == "failed":
            task.write_state(replace(state, state="planned", failures=0))
        elif state.failures > retries:
            continue
        waiting.append(task)
    yield RunEvent(campaign_status(plan))
    if not waiting:
        return
    with engine(execution, plan.folder) as workers:
        running: dict[Future[None], Task] = {
            workers.submit(task.folder): task for task in waiting
        }
        while running:
            finished, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in finished:
                task = running.pop(future)
                retried = _ended(task, future, retries)
                if retried:
                    running[workers.submit(task.folder)] = task
                yield RunEvent(campaign_status(plan), task, retried)
            if not finished:
                yield RunEvent(campaign_status(plan))


def _ended(task: Task, future: Future[None], retries: int) -> bool:
    """Note what the worker could not note itself; whether to try again."""
    error = future.exception()
    state = task.state()
    if error is not None and state.state != "done":
        reason = str(error).strip().splitlines()
        kind = "" if isinstance(error, MimyriaError) else f"{type(error).__name__}: "
        task.fail(f"the worker was lost ({kind}{reason[0] if reason else 'no reason'})")
    elif state.state in ("planned", "running"):
        return False  # another process holds it
    state = task.state()
    return state.state == "failed" and state.failures <= retries
