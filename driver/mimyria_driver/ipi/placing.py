"""Placing: whether a configuration is the next one of a series.

i-PI numbers nothing. To a client that has just come, its first configuration is the
next step of the known ones if it lies where they lead: a step that was left out moves
every atom by another step's way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mimyria.frame import Array
from mimyria_driver.velocities import Sample, unwrapped

__all__ = ["follows"]

_SHARE: Final = 0.7  # of the last step's way; the fastest vibration at 1 fs needs 0.5
_FARTHEST: Final = 0.25  # Å that an atom can move in one step


def follows(known: Sequence[Sample], new: Sample) -> bool:
    """Whether `new` continues the known samples.

    A parabola through three of them leads to

    q' = 3 q(t) − 3 q(t−dt) + q(t−2dt),  q'' = 6 q(t) − 8 q(t−dt) + 3 q(t−2dt)

    one and two steps later. The new sample must be nearer to q' than to q'', in the
    root mean square, and at less than a share of the last step's way. Fewer than three
    do not tell where they lead: no atom may be far away.

    Args:
        known: the latest samples, oldest first; used from the last gap on.
        new: what may come next.
    """
    tail = _unbroken(known)
    if not tail:
        return False
    last = tail[-1]
    fractional = last.positions @ np.linalg.inv(last.cell)
    series = [unwrapped(each, fractional) for each in (*tail, new)]
    found = series.pop()
    if len(series) < 3:
        return bool(np.abs(found - series[-1]).max() < _FARTHEST)
    before, here = series[1] - series[0], series[2] - series[1]
    next_one = _size(found - (series[2] + 2 * here - before))
    one_later = _size(found - (series[2] + 5 * here - 3 * before))
    return next_one <= _SHARE * _size(here) and next_one <= one_later


def _unbroken(known: Sequence[Sample]) -> list[Sample]:
    """At most three of the latest samples, step by step."""
    tail: list[Sample] = []
    for sample in reversed(known):
        if len(tail) == 3 or (tail and sample.step != tail[0].step - 1):
            break
        tail.insert(0, sample)
    return tail


def _size(difference: Array) -> float:
    return float(np.sqrt(np.mean(difference**2)))
