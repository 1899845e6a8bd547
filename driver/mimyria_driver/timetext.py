"""Time text: how long something takes, for people."""

from __future__ import annotations

__all__ = ["duration"]


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
