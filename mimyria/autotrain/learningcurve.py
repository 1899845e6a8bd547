"""Learning curve: how an error falls with the number of configurations.

ε² = a n^−p is a straight line in logarithms. What it says of more configurations than
there were is worth little far away, so that it is asked only as far as four times the
last number; beyond that, and where the line does not fall for certain, nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy.special import stdtrit

from mimyria.frame import Array

__all__ = ["LearningCurve", "MoreNeeded", "fit_learning_curve"]

_LEAST: Final = 4
"""Cycles for a line with an error; three points and two parameters leave one."""

_REACH: Final = 4.0
"""Times the last number of configurations, as far as the line is believed."""

_LEVEL: Final = 0.9
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class MoreNeeded:
    """How many configurations an error takes.

    Attributes:
        target: ε that is wanted.
        more: beyond the last number; None where it cannot be said.
        fewest: lower end of the 90 % interval; None where it cannot be said.
        most: upper end; None where it is beyond the reach.
        text: the same in words.
    """

    target: float
    more: int | None
    fewest: int | None
    most: int | None
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Fit of ε² = a n^−p.

    Attributes:
        counts: (n,) — configurations of each cycle.
        epsilons: (n,) — ε of each.
        amplitude: a; NaN without a fit.
        power: p; NaN without a fit.
        power_error: its standard error; NaN without a fit.
        level_reached: whether the last points lie above the line of those before, as
            they do where more data no longer help.
    """

    counts: Array
    epsilons: Array
    amplitude: float
    power: float
    power_error: float
    level_reached: bool

    def epsilon(self, count: float) -> float:
        """ε of the line at so many configurations."""
        return math.sqrt(self.amplitude * count**-self.power)

    def needed(self, target: float) -> MoreNeeded:
        """Configurations until ε is `target`, with a 90 % interval.

        Source: docs/theory.md, eq. (108).
        """
        last = float(self.counts[-1]) if len(self.counts) else 0.0

        def unknown(reason: str) -> MoreNeeded:
            text = f"how many more configurations {target:.1%} takes {reason}"
            return MoreNeeded(target, None, None, None, text)

        if math.isnan(self.power):
            return unknown(
                f"cannot be said yet: that needs {_LEAST} cycles with different "
                f"numbers of configurations, not {len(self.counts)}."
            )
        if self.epsilons[-1] <= target and self.epsilon(last) <= target:
            return MoreNeeded(target, 0, 0, 0, f"{target:.1%} is reached.")
        if self.level_reached:
            return unknown(
                "cannot be said: the error no longer falls as it did. A larger network "
                "or better labels may be what is missing."
            )
        if self.power <= _quantile(len(self.counts) - 2) * self.power_error:
            return unknown("cannot be said yet: the error does not fall for certain.")
        return self._needed(target, last, unknown)

    def _needed(self, target: float, last: float, unknown: _Unknown) -> MoreNeeded:
        grid = np.arange(last, _REACH * last + 1)
        low, middle, high = self._band(grid)
        wanted = math.log(target**2) + _ROUNDING
        ends = [
            round(grid[np.argmax(line <= wanted)] - last)
            if (line <= wanted).any()
            else None
            for line in (low, middle, high)
        ]
        fewest, more, most = ends
        if more is None:
            return unknown(
                f"cannot be said: more than {(_REACH - 1) * last:.0f}, farther than "
                "the curve can be trusted."
            )
        interval = f"{fewest} to {most}" if most is not None else f"{fewest} or more"
        text = (
            f"about {more} more configurations for {target:.1%} ({interval}, "
            f"{_LEVEL:.0%} interval)."
        )
        return MoreNeeded(target, more, fewest, most, text)

    def _band(self, counts: Array) -> tuple[Array, Array, Array]:
        """Logarithm of ε² of the line and the ends of its interval at other counts."""
        x, y = np.log(self.counts), np.log(self.epsilons**2)
        line = math.log(self.amplitude) - self.power * np.log(counts)
        residuals = y - (math.log(self.amplitude) - self.power * x)
        dof = len(x) - 2
        variance = float(residuals @ residuals) / dof
        spread = float(((x - x.mean()) ** 2).sum())
        lever = 1 / len(x) + (np.log(counts) - x.mean()) ** 2 / spread
        half = _quantile(dof) * np.sqrt(variance * lever)
        return line - half, line, line + half


class _Unknown(Protocol):
    """Type of the function that says why nothing is known."""

    def __call__(self, reason: str) -> MoreNeeded: ...


def fit_learning_curve(
    counts: Sequence[float], epsilons: Sequence[float]
) -> LearningCurve:
    """Least squares of ln ε² against ln n.

    Args:
        counts: configurations of each cycle.
        epsilons: ε of each; cycles where it is not above zero are left out.

    Source: docs/theory.md, eq. (108).
    """
    n, e = np.asarray(counts, dtype=np.float64), np.asarray(epsilons, dtype=np.float64)
    known = np.isfinite(e) & (e > 0) & (n > 0)
    n, e = n[known], e[known]
    if len(np.unique(n)) < _LEAST:
        return LearningCurve(n, e, math.nan, math.nan, math.nan, False)
    x, y = np.log(n), np.log(e**2)
    slope, offset, error = _line(x, y)
    return LearningCurve(n, e, math.exp(offset), -slope, error, _has_levelled(x, y))


def _line(x: Array, y: Array) -> tuple[float, float, float]:
    """Slope, offset and the standard error of the slope."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    offset = float(y.mean() - slope * x.mean())
    residuals = y - slope * x - offset
    return (
        slope,
        offset,
        math.sqrt(float(residuals @ residuals) / (len(x) - 2) / spread),
    )


def _has_levelled(x: Array, y: Array) -> bool:
    """Whether the later half of the points falls less than half as fast."""
    half = len(x) // 2
    if half < _LEAST or len(x) - half < _LEAST:
        return False
    early, _, early_error = _line(x[:half], y[:half])
    late, _, late_error = _line(x[half:], y[half:])
    dof = len(x) - 4
    return bool(
        late - early / 2 > _quantile(dof) * math.hypot(early_error / 2, late_error)
        and early < 0
    )


def _quantile(dof: int) -> float:
    """Of Student's t, for both ends of the interval."""
    return float(stdtrit(max(dof, 1), (1 + _LEVEL) / 2))
