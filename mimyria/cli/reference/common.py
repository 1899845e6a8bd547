"""What the steps of `mimyria reference` share: argument and bar."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.timetext import duration

if TYPE_CHECKING:
    from rich.console import Console

    from mimyria.reference.campaign import CampaignStatus, Plan, RunEvent, Settings

__all__ = ["add_campaign_argument", "finish_campaign", "open_campaign"]


def add_campaign_argument(parser: argparse.ArgumentParser) -> None:
    """The campaign file, first argument of every step."""
    parser.add_argument("campaign", type=Path, help="the campaign file (TOML)")


def open_campaign(path: Path) -> tuple[Settings, Plan]:
    """Settings and plan of a campaign whose code is that of its plan.

    Raises:
        IncompatibleError: the settings of the code have changed since.
    """
    from mimyria.reference.campaign import Plan, load_campaign_settings

    settings = load_campaign_settings(path)
    plan = Plan.load(settings.directory)
    plan.require_same_code(settings.code())
    return settings, plan


def finish_campaign(plan: Plan, settings: Settings, *, again: bool) -> CampaignStatus:
    """Compute what is missing, with a bar and a line for every task that ends.

    Args:
        plan: of the campaign, or of its check or scan.
        settings: how it is run.
        again: also try what has failed too often before.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from mimyria.reference.campaign import campaign_status, run_campaign

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} points"),
        TextColumn("{task.fields[left]}"),
    )
    execution, retries = settings.execution, settings.campaign.retries
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            row = bar.add_task(plan.code_name, total=None, left="")
            for event in run_campaign(plan, execution, retries, again=again):
                status = event.status
                bar.update(
                    row,
                    total=status.n_points,
                    completed=status.n_finished,
                    left=_left(status, execution.workers),
                )
                _tell(event, bar.console)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "interrupted; finished points are kept, the same command goes on"
        ) from None
    return campaign_status(plan)


def _tell(event: RunEvent, console: Console) -> None:
    if event.ended is None:
        return
    state = event.ended.state()
    if state.state == "failed":
        then = "tried again" if event.retried else "given up"
        # One line however narrow the terminal is, and no markup: [ABORT] is a word.
        text = f"{event.ended.name} failed, {then}: {state.reason}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
    else:
        console.print(f"{event.ended.name} {state.state}")


def _left(status: CampaignStatus, workers: int) -> str:
    if math.isnan(status.seconds_left):
        return ""
    return f"about {duration(status.seconds_left / max(workers, 1))} left"
