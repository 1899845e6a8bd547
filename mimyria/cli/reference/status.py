"""`mimyria reference status`: how far a campaign is, what failed, what is left."""

from __future__ import annotations

import argparse
import json
import math

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import add_campaign_argument
from mimyria.timetext import duration

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "status",
        help="how far it is, what failed, how long still",
        description="How far a campaign is, what failed and why, and what the rest "
        "costs, estimated from the points that are there.",
        epilog="example: mimyria reference status campaign.toml --json",
    )
    add_campaign_argument(parser)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.reference.campaign import Plan, campaign_status, load_campaign_settings

    settings = load_campaign_settings(arguments.campaign)
    plan = Plan.load(settings.directory)
    status = campaign_status(plan)
    cores = settings.execution.threads
    core_hours = status.seconds_left * cores / 3600
    wall = status.seconds_left / max(settings.execution.workers, 1)
    if arguments.json:
        content = {
            "code": plan.code_name,
            "points": status.n_points,
            "finished_points": status.n_finished,
            "core_hours_left": None if math.isnan(core_hours) else core_hours,
            "tasks": [
                {
                    "name": task.name,
                    "state": task.state,
                    "finished_points": task.n_finished,
                    "failures": task.failures,
                    "reason": task.reason,
                }
                for task in status.tasks
            ],
        }
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return 0
    for task in status.tasks:
        line = f"{task.name}  {task.state:<11} {task.n_finished:>3}/{status.n_fields}"
        print(f"{line}  {task.reason}".rstrip())
    states = ("done", "running", "planned", "interrupted", "failed")
    counts = ", ".join(
        f"{status.count(state)} {state}" for state in states if status.count(state)
    )
    print(f"{len(status.tasks)} tasks: {counts or 'none'}")
    if math.isnan(core_hours):
        print("cost: known after the first point")
    else:
        print(
            f"left: {core_hours:.2g} core-hours, about {duration(wall)} with "
            f"{settings.execution.workers} tasks at once; a point takes "
            f"{duration(status.zero_seconds)} without a field, "
            f"{duration(status.field_seconds)} in one"
        )
    return 0
