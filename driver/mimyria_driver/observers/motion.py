"""Motion: whether the velocities of two frames are those of the way between them.

A program of Python says itself what its time step is and in which unit its velocities
are. Where one of the two is wrong, every wavenumber or every intensity is.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Frame
from mimyria.images import nearest_images

__all__ = ["check_motion"]

_USUAL: Final = (0.2, 5.0)
"""Bond vibrations, seen every 4 fs, reach 3; the units of ASE are wrong by 10."""


def check_motion(before: Frame, after: Frame, interval: float) -> None:
    """Compare displacements with velocities: Σ d·v̄ / Σ v̄² τ, about 1.

    Args:
        before: a frame.
        after: the next one.
        interval: τ, time between them, fs.

    Raises:
        FrameError: they differ by more than vibrations can.
    """
    assert before.velocities is not None
    assert after.velocities is not None
    mean = (before.velocities + after.velocities) / 2
    scale = float((mean**2).sum()) * interval
    moved = after.positions - before.positions
    moved = nearest_images(moved, after.cell, after.pbc)
    # Of one atom alone, or of a molecule at rest, the ratio says nothing.
    if not (np.isfinite(scale) and scale > 0 and moved.any()):
        return
    ratio = float((moved * mean).sum()) / scale
    if not _USUAL[0] <= ratio <= _USUAL[1]:
        raise FrameError(
            f"step {after.step}: in the {interval:g} fs since step {before.step} the "
            f"atoms moved {ratio:.3g} times as far as their velocities say. The time "
            "step must be in fs, velocities in Angstrom/fs and of the same instant as "
            "the positions."
        )
