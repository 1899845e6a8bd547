"""Renewal: a pool that grew after a run had ended for want of other frames.

The cycle that found nothing to choose takes that back, and the one before it evaluates
what the pool holds now. Nothing was computed of either since then, so nothing is lost.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from mimyria.autotrain.choosing import pool_frames, read_pool
from mimyria.autotrain.context import Context, cycle_name
from mimyria.autotrain.steps import kept_pool
from mimyria.reference.campaign.planning import frame_digest

__all__ = ["renew_pool"]


def renew_pool(context: Context, number: int) -> bool:
    """Take back a choice of nothing, if the pool holds frames that it did not know.

    Whoever is killed within finds a choice of nothing again, and a pool that has grown.

    Args:
        context: of the run.
        number: of the cycle that found nothing to choose.

    Returns:
        Whether it was taken back: do the cycle before this one again, and then this.
    """
    pool = kept_pool(context, number)
    known = {frame_digest(frame) for frame in read_pool(pool)}
    now = pool_frames(context.settings, set(context.survey["numbers"]))
    n_new = sum(frame_digest(each.frame) not in known for each in now)
    if not n_new:
        return False
    context.teller.say(f"the pool has {n_new} new frames: going on")
    context.run.forget(f"{cycle_name(number)}/choose")
    if number == 1:
        pool.unlink(missing_ok=True)
    else:
        # The mark goes before what it names.
        context.run.forget(f"{cycle_name(number - 1)}/evaluate")
        _remove(pool.parent)
    return True


def _remove(folder: Path) -> None:
    """Remove an evaluation as a whole: half of one would be gone on with."""
    if folder.is_dir():
        aside = folder.with_name(f"{folder.name}-before")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
