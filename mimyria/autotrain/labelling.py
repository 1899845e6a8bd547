"""Labelling: the frames that were chosen become a set with tensors, by a campaign.

A frame whose calculation fails is replaced by the next candidate, as long as there are
any; it is named with its reason, and not tried again in later cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mimyria.autotrain.settings import Settings
from mimyria.errors import CalculationError
from mimyria.io.extxyz import write_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.campaign import (
    Plan,
    RunEvent,
    collect,
    configurations,
    plan_campaign,
    run_campaign,
)
from mimyria.reference.datasheet import data_sheet
from mimyria.reference.referenceset import write_reference_set

__all__ = ["COMPUTED", "LABELS", "Labelled", "label"]

LABELS: Final = "labels.extxyz"
COMPUTED: Final = "computed.extxyz"
"""The frames that were given to the code, failed ones among them."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What came of it.

    Attributes:
        files: what was written.
        n_labelled: frames, or clusters, with tensors.
        failed: those without, with the reason.
    """

    files: tuple[Path, ...]
    n_labelled: int
    failed: dict[str, str]


def label(
    settings: Settings,
    candidates: Sequence[LabelledFrame],
    wanted: int,
    folder: Path,
    tell: Callable[[RunEvent], None],
) -> Labelled:
    """Compute the first candidates, and others for those that fail.

    Args:
        settings: of autotrain.
        candidates: in the order of choice, spare ones last.
        wanted: frames to label.
        folder: of the step; holds the campaign.
        tell: hears of every event of the campaign.

    Raises:
        CalculationError: nothing could be labelled.
    """
    code = settings.code()
    computed = folder / COMPUTED
    count = min(wanted, len(candidates))
    while True:
        write_extxyz(computed, candidates[:count])
        campaign = settings.campaign(computed, folder / "campaign", folder.parent.name)
        plan, _ = plan_campaign(campaign, code, configurations(campaign))
        n_failed = _run(plan, settings, tell)
        more = min(wanted + n_failed, len(candidates))
        if more <= count:
            break
        count = more
    return _collected(settings, plan, code.charge, folder)


def _run(plan: Plan, settings: Settings, tell: Callable[[RunEvent], None]) -> int:
    """Run the campaign to its end; the number of its failed tasks."""
    n_failed = 0
    for event in run_campaign(plan, settings.execution, settings.autotrain.retries):
        tell(event)
        n_failed = event.status.count("failed")
    return n_failed


def _collected(settings: Settings, plan: Plan, charge: int, folder: Path) -> Labelled:
    harvest = collect(plan, charge)
    frames = harvest.frames
    if not frames:
        reason = next(iter(harvest.failed.values()), "no task was finished")
        raise CalculationError(
            f"none of the {len(harvest.failed)} reference calculations in {folder} "
            f"worked; the first: {reason}"
        )
    if settings.autotrain.local_field:
        frames = [frame.in_the_liquid() for frame in frames]
    sheet = data_sheet(frames, settings.autotrain.title or settings.path.stem)
    files = write_reference_set(folder / LABELS, frames, sheet)
    return Labelled((*files, folder / COMPUTED), len(frames), harvest.failed)
