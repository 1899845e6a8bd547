"""A scan of the field strength as a campaign of one task, in fields of many lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.frame import Array
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.scan import FieldScan
from mimyria.reference.scanning import scan_fields
from mimyria.reference.stencils import pgt_stencil, with_zero_field
from mimyria.settings.fields import require

__all__ = ["plan_scan", "scan_result"]

_FEWEST: Final = 3  # strengths that tell noise and truncation apart


def plan_scan(plan: Plan, task: Task, steps: Sequence[float]) -> tuple[Plan, Task]:
    """Plan one configuration in the 13 fields of every step.

    Returns:
        A campaign of its own, in the folder `scan` of the first, and its one task.

    Raises:
        SettingsError: the strengths cannot be used; nothing was computed.
    """
    ordered = sorted(set(steps))
    for step in ordered:
        require(0 < step <= 0.05, "--steps", "above 0 and up to 0.05 a.u.", step)
    require(len(ordered) >= _FEWEST, "--steps", "at least 3 strengths", len(ordered))
    fields = with_zero_field(np.vstack([pgt_stencil(step) for step in ordered]))
    tag = "-".join([task.name, *(f"{step:g}" for step in ordered)])
    scan = replace(plan, folder=plan.folder / "scan" / tag, fields=fields)
    scan.save()
    own = scan.task(task.name)
    if not own.exists:
        own = Task.create(own.folder, task.configuration())
    return scan, own


def scan_result(
    scan: Plan, task: Task, steps: Sequence[float], gap: float | None
) -> FieldScan:
    """Errors against the strength of the field.

    Args:
        scan: of `plan_scan`.
        task: likewise, finished.
        steps: components of the fields, as they were planned.
        gap: band gap, eV; limits the field in a periodic cell.
    """
    points = task.all_points(len(scan.fields))
    stencils = np.stack([pgt_stencil(step) for step in steps])
    places = [_places(scan.fields, stencil) for stencil in stencils]
    forces = np.stack([each.point.forces for each in points])
    frame = task.configuration().frame
    length = float(np.linalg.norm(frame.cell, axis=1).max()) if any(frame.pbc) else None
    return scan_fields(
        stencils,
        np.stack([forces[place] for place in places]),
        gap=gap if length else None,
        length=length if gap is not None else None,
    )


def _places(fields: Array, stencil: Array) -> list[int]:
    """Where the fields of one step stand among all."""
    return [int(np.abs(fields - field).max(axis=1).argmin()) for field in stencil]
