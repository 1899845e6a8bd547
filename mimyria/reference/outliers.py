"""Outliers: frames whose residuals stand out from those of the other frames.

Frames of one system computed alike have residuals of one size. What differs by far more
than they scatter is looked at, whatever bound it keeps. Median and median deviation are
not moved by the frames that are sought.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.reference.quality import FieldQuality

__all__ = ["Outlier", "find_outliers"]

_LARGE_IS_BAD: Final = (
    "residual",
    "odd_residual",
    "even_residual",
    "force_noise",
    "apt_error",
    "pgt_error",
    "net_force",
    "net_odd",
    "net_even",
    "apt_sum",
    "pgt_sum",
)
# A frame whose tensors are much smaller than those of the others is as odd as one
# whose tensors are larger. A wrong calculation at zero field shows in no residual of 13
# points, but here.
_BOTH_WAYS: Final = ("curvature", "apt_rms", "pgt_rms", "apt_asymmetry")

_LEAST_FRAMES: Final = 5  # fewer have no scatter worth the name
_LEAST_SCATTER: Final = 0.1  # of the logarithm; differences of a tenth mean nothing
_TO_DEVIATION: Final = 1.4826  # median deviation of a normal distribution to its σ
# With normal scatter one report in a hundred then names a frame without a reason, over
# all residuals, for any number of frames: the deviation of few is a poor estimate.
_BOUND: Final = 6.0
_FEW: Final = 9.0


@dataclass(frozen=True, slots=True)
class Outlier:
    """One residual of one frame that stands out.

    Attributes:
        frame: its place in the sequence.
        name: of the residual, as in `FieldQuality`.
        value: of this frame.
        median: of all frames.
        deviations: distance from it in the logarithm, in robust standard deviations.
    """

    frame: int
    name: str
    value: float
    median: float
    deviations: float

    def __str__(self) -> str:
        """One line."""
        return (
            f"frame {self.frame}: {self.name} is {self.value:.3g}, the median "
            f"{self.median:.3g} ({self.deviations:+.0f} deviations)"
        )


def find_outliers(
    qualities: Sequence[FieldQuality], bound: float = _BOUND
) -> tuple[Outlier, ...]:
    """Frames that stand out, the worst first; nothing can be said of fewer than five.

    With x = ln(residual) of n frames:
    |x − median(x)| > bound · (1 + (9/n)²) · max(1.4826 MAD(x), 0.1).

    Args:
        qualities: of frames of one system, computed alike.
        bound: robust standard deviations, for many frames.

    Source: docs/theory.md, eq. (61).
    """
    if not bound > 0:
        raise SettingsError(f"bound must be above 0, but is {bound}.")
    found: list[Outlier] = []
    for name in (*_LARGE_IS_BAD, *_BOTH_WAYS):
        values = np.array([getattr(quality, name) for quality in qualities])
        usable = np.flatnonzero(np.isfinite(values) & (values > 0))
        if len(usable) < _LEAST_FRAMES:
            continue
        logs = np.log(values[usable])
        middle = float(np.median(logs))
        spread = _TO_DEVIATION * float(np.median(np.abs(logs - middle)))
        least = bound * (1.0 + (_FEW / len(usable)) ** 2)
        deviations = (logs - middle) / max(spread, _LEAST_SCATTER)
        for index, deviation in zip(usable, deviations, strict=True):
            size = abs(deviation) if name in _BOTH_WAYS else deviation
            if size > least:
                found.append(
                    Outlier(
                        int(index), name, float(values[index]), math.exp(middle),
                        float(deviation),
                    )
                )  # fmt: skip
    return tuple(sorted(found, key=lambda outlier: -abs(outlier.deviations)))
