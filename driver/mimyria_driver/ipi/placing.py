"""Placing: whether a configuration is the next one of a series.

i-PI numbers nothing. To a client that has just come, its first configuration is the
next step of the known ones if it lies where they lead: a step that was left out moves
every atom by another step's way. Within a connection nothing is left out, unless i-PI
has a second client and gives steps to that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Array
from mimyria_driver.velocities import Sample, unwrapped

__all__ = ["Attendance", "follows"]

_SHARE: Final = 0.7  # of the last step's way; the fastest vibration at 1 fs needs 0.5
_FARTHEST: Final = 0.25  # Å that an atom can move in one step
_MUCH_FARTHER: Final = 1.5  # than the last step's way, as two steps are
_FAR_OFF: Final = 2.0  # of the last ways; the noise of a strong thermostat is 1.3
_MISSES: Final = 3  # that are no accident ...
_LATELY: Final = 100  # ... in so many steps


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
    if len(tail) < 3:
        found, last = _unwrapped([new, tail[-1]], tail[-1])
        return bool(np.abs(found - last).max() < _FARTHEST)
    _, here, next_one, one_later = _distances(tail, new)
    return next_one <= _SHARE * here and next_one <= one_later


class Attendance:
    """Notices that i-PI has given steps to another client."""

    def __init__(self) -> None:
        """Nothing is missing yet."""
        self._missed: list[int] = []

    def is_broken(self, known: Sequence[Sample], new: Sample) -> bool:
        """Whether steps are missing before a configuration of the same connection.

        It is where the known ones lead in two steps rather than in one, or nowhere
        near. A single step that was left out looks so in all dynamics but that of a
        bead with a strong thermostat; one that was not never did.

        Raises:
            FrameError: it happens again and again.
        """
        tail = _unbroken(known)
        if len(tail) < 3 or _is_as_far(tail, new):
            return False
        before, here, next_one, one_later = _distances(tail, new)
        is_near = next_one <= _SHARE * here
        is_off = next_one > _FAR_OFF * max(before, here)
        if is_near or not (is_off or next_one > one_later):
            return False
        self._missed = [at for at in self._missed if at > new.step - _LATELY]
        self._missed.append(new.step)
        if len(self._missed) == _MISSES:
            raise FrameError(
                f"i-PI has left out steps for the {_MISSES}rd time since step "
                f"{self._missed[0]}: another client has them, and frames near these "
                "may be wrong. Give each driver an <ffsocket> of its own, and begin "
                "anew in another run.directory."
            )
        return True


def _is_as_far(tail: Sequence[Sample], new: Sample) -> bool:
    """Whether `new` is about one step's way off: quick, and so nearly always."""
    moved = tail[-1].positions - tail[-2].positions
    now = new.positions - tail[-1].positions
    if max(np.abs(moved).max(), np.abs(now).max()) > _FARTHEST:
        return False  # perhaps through a border of the cell
    return bool(np.vdot(now, now) <= _MUCH_FARTHER**2 * np.vdot(moved, moved))


def _distances(tail: Sequence[Sample], new: Sample) -> tuple[float, ...]:
    """Of the last two steps, and of `new` from one and two steps on; Å, rms."""
    first, second, third, found = _unwrapped([*tail, new], tail[-1])
    before, here = second - first, third - second
    return (
        _size(before),
        _size(here),
        _size(found - (third + 2 * here - before)),
        _size(found - (third + 5 * here - 3 * before)),
    )


def _unwrapped(samples: Sequence[Sample], origin: Sample) -> list[Array]:
    """Positions of the images that are nearest to those of one sample."""
    fractional = origin.positions @ np.linalg.inv(origin.cell)
    return [unwrapped(each, fractional) for each in samples]


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
