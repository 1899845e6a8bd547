"""What to do next, in sentences, from what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mimyria.autotrain.context import Context, cycle_name
from mimyria.autotrain.judging import Judgement

if TYPE_CHECKING:
    from mimyria.autotrain.loop import Ending

__all__ = ["advice"]


def advice(
    context: Context,
    number: int,
    verdicts: Mapping[str, Judgement],
    ending: Ending | None,
) -> list[str]:
    """Sentences for people.

    Args:
        context: of the run.
        number: of the last cycle.
        verdicts: of that cycle.
        ending: why the run is over; None: it goes on.
    """
    lines = []
    for name, verdict in verdicts.items():
        open_conditions = {c.name for c in verdict.conditions if not c.met}
        if "error" in open_conditions:
            lines.append(f"{name}: {verdict.more.text}")
        elif "statistics" in open_conditions:
            lines.append(
                f"{name}: the tensors are good enough by themselves; their effect on "
                "the spectrum is still more than a part of the statistical error "
                f"({verdict.claim.score:.1%} of {verdict.statistical:.1%}). More "
                "configurations lower the first; raise targets.statistical_share if "
                "that is good enough for you."
            )
        elif verdict.statistical > verdict.claim.score:
            lines.append(
                f"{name}: what is left is mostly the statistical error of the "
                f"trajectories ({verdict.statistical:.1%}, and "
                f"{verdict.claim.score:.1%} of the model): longer trajectories help, "
                "more configurations do not."
            )
    lines += _failures(context, number)
    if ending is not None and not ending.converged:
        lines.append(
            "To go on: raise the limit that ended the run (autotrain.max_cycles, "
            "autotrain.hours), and give the same command."
        )
    if ending is not None and ending.converged:
        lines.append(
            "For production: give the models in models/ to mimyria-driver. Frames that "
            "it does not know stand in uncertain.extxyz of its run; name that file in "
            "autotrain.pool, lower the targets, and go on from here."
        )
    return lines or ["Nothing: the next cycle is under way."]


def _failures(context: Context, number: int) -> list[str]:
    names = ["test", *(f"{cycle_name(k)}/reference" for k in range(1, number + 1))]
    failed: dict[str, str] = {}
    for name in names:
        mark = context.run.mark(name)
        if mark is not None:
            failed |= mark.facts["failed"]
    if not failed:
        return []
    first = next(iter(failed))
    return [
        f"{len(failed)} reference calculations failed and were replaced; look why: "
        f"{first}: {failed[first]}"
    ]
