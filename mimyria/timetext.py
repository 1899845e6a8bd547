"""Time text: how long something takes, for people."""

from __future__ import annotations

import math

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """A time in the unit that a person would choose: 90 s, 15 min, 3.5 h, 2.1 d.

    Args:
        seconds: not negative; NaN is "unknown".
    """
    if math.isnan(seconds):
        return "unknown"
    for size, unit, digits in ((86400.0, "d", 1), (3600.0, "h", 1), (60.0, "min", 0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
