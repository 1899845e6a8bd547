"""Kinematics: whether velocities are those of the way that the atoms have gone.

It knows two frames and the time between them; no engine.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Frame
from mimyria_driver.velocities import Sample, unwrapped

__all__ = ["check_motion"]

_LEAST_SHARE, _MOST_SHARE = 0.5, 2.0
_LEAST_CORRELATION: Final = 0.5
"""Two frames that are 4 fs apart have 0.8 in liquid water, with hydrogen."""


def check_motion(before: Frame, now: Frame, interval: float) -> None:
    """Hold the way of all atoms between two frames against their velocities.

    Δr = r(t+τ) − r(t) must be near w = τ (v(t) + v(t+τ)) / 2: fast vibrations make the
    two differ by some ten per cent, wrong units by powers of ten. Half a time step
    of delay is not seen.

    Args:
        before: a frame.
        now: the next one.
        interval: τ in fs.

    Raises:
        FrameError: the velocities do not belong to the positions.
    """
    assert before.velocities is not None
    assert now.velocities is not None
    fractional = before.positions @ np.linalg.inv(before.cell)
    sample = Sample(now.step, now.positions, now.cell)
    way = unwrapped(sample, fractional) - before.positions
    expected = 0.5 * interval * (before.velocities + now.velocities)
    product = float(np.sum(way * expected))
    found_2, expected_2 = float(np.sum(way**2)), float(np.sum(expected**2))
    if found_2 == expected_2 == 0.0:
        return
    share = product / expected_2 if expected_2 else np.inf
    correlation = product / np.sqrt(found_2 * expected_2) if product else 0.0
    if _LEAST_SHARE <= share <= _MOST_SHARE and correlation >= _LEAST_CORRELATION:
        return
    ways = [float(np.sqrt(each / now.n_atoms)) for each in (found_2, expected_2)]
    raise FrameError(
        f"step {now.step}: in {interval:g} fs the atoms have moved by {ways[0]:.3g} "
        f"Angstrom (rms), but their velocities amount to {ways[1]:.3g} Angstrom, with "
        f"a correlation of {correlation:.2f}. Velocities or time are in another unit "
        "than source.units says, source.time_step or source.stride are not those of "
        "the engine, or its velocities are not those of the atoms it sends."
    )
