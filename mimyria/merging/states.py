"""States: temperature and volume of the runs that are merged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mimyria.storage import Result

__all__ = ["RunSummary", "mean_of", "spread_notices", "summary_of"]

_SAME_VOLUME: Final = 0.01
_SAME_TEMPERATURE: Final = 0.03


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One of the runs that were merged.

    Attributes:
        name: such as the path of its file.
        n_samples: samples; the weight in all means.
        length: simulated time, ps.
        temperature: K.
        volume: Å³.
    """

    name: str
    n_samples: int
    length: float
    temperature: float
    volume: float


def summary_of(result: Result, name: str) -> RunSummary:
    """What a run weighs, and its state."""
    n_samples = max(
        c.n_samples for c in (result.dipole, result.polarizability) if c is not None
    )
    length = n_samples * result.interval * 1e-3
    return RunSummary(name, n_samples, length, result.temperature, result.volume)


def mean_of(runs: Sequence[RunSummary], of: Callable[[RunSummary], float]) -> float:
    """Mean over the runs, each as often as it has samples."""
    total = sum(run.n_samples for run in runs)
    return math.fsum(of(run) * run.n_samples for run in runs) / max(total, 1)


def spread_notices(runs: Sequence[RunSummary]) -> list[str]:
    """What differs so much that it may be another state."""
    notices = []
    for what, limit in (("temperature", _SAME_TEMPERATURE), ("volume", _SAME_VOLUME)):
        values = [getattr(run, what) for run in runs]
        if max(values) - min(values) > limit * max(values):
            notices.append(
                f"the runs differ in {what} by more than {limit:.0%} "
                f"({min(values):g} to {max(values):g}): is it one state?"
            )
    return notices
