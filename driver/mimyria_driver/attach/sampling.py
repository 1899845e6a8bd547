"""How often to look, how long, and how finely: from the time step and the elements.

The fastest vibration of the elements gives spectrum.max_wavenumber; half of the longest
interval that the driver takes for it gives the stride, so that no band comes near the
border; the length of the run gives the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from mimyria.spectra.windows import lags_for_resolution
from mimyria_driver.attach.elements import UNKNOWN
from mimyria_driver.checks import LONG_INTERVAL, longest_interval

__all__ = [
    "LONGEST_STEP",
    "SHORTEST_RUN",
    "fastest_vibration",
    "resolution_for",
    "stride_for",
]

LONGEST_STEP: Final = 1.0
"""fs; with 1 fs velocity Verlet shifts stretches of hydrogen by 75 cm⁻¹ already."""
SHORTEST_RUN: Final = 2000.0
"""fs; a shorter one gives no spectrum to speak of."""

_SHARE: Final = 5.0
"""Lengths of the correlation that a run has to have: a fair mean over lags."""
_RESOLUTIONS: Final = (10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0)


def fastest_vibration(elements: Collection[str]) -> tuple[float, str]:
    """Highest wavenumber that bonds of these elements reach, in cm⁻¹, and why."""
    if UNKNOWN in elements or not elements:
        return 4000.0, "there may be hydrogen, whose stretches reach 3700 cm^-1"
    if "H" in elements:
        return 4000.0, "stretches of bonds to hydrogen reach 3700 cm^-1"
    if "D" in elements:
        return 3000.0, "stretches of bonds to deuterium reach 2800 cm^-1"
    return 2500.0, "without hydrogen nothing is faster than CO and N2, 2350 cm^-1"


def stride_for(time_step: float, max_wavenumber: float) -> int:
    """MD steps between two frames.

    Args:
        time_step: fs.
        max_wavenumber: cm⁻¹.
    """
    interval = min(longest_interval(max_wavenumber) / 2, LONG_INTERVAL)
    return max(1, math.floor(interval / time_step * (1 + 1e-9)))


def resolution_for(length: float) -> float:
    """The finest usual resolution for which a run is long enough.

    Args:
        length: of the run, fs.

    Returns:
        cm⁻¹, at most 100.
    """
    for resolution in _RESOLUTIONS:
        if _SHARE * lags_for_resolution("gaussian", resolution, 1.0) <= length:
            return resolution
    return _RESOLUTIONS[-1]
