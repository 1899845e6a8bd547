"""Velocities from positions: central differences, for engines that send none.

This module knows arrays, no engine. The velocity of velocity Verlet at a full step is
exactly the central difference of its positions, so nothing is lost in NVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mimyria.errors import FrameError
from mimyria.frame import Array

__all__ = ["CentralDifference", "Sample", "central_difference", "unwrapped"]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Positions at one step.

    Attributes:
        step: MD step.
        positions: (n_atoms, 3) Å.
        cell: (3, 3) Å — rows are the lattice vectors.
    """

    step: int
    positions: Array
    cell: Array


class CentralDifference:
    """Turns consecutive samples into velocities, one step late."""

    def __init__(self, time_step: float) -> None:
        """Begin a stream of samples.

        Args:
            time_step: fs from one sample to the next.
        """
        self._time_step = time_step
        self._samples: list[Sample] = []

    @property
    def samples(self) -> Sequence[Sample]:
        """The latest samples, oldest first."""
        return self._samples

    @property
    def last(self) -> Sample | None:
        """The latest sample."""
        return self._samples[-1] if self._samples else None

    def push(self, sample: Sample) -> None:
        """Take the sample of the next step."""
        self._samples = [*self._samples[-2:], sample]

    def velocities(self) -> tuple[Sample, Array] | None:
        """The sample before the latest and its velocities (n_atoms, 3) Å/fs."""
        if len(self._samples) < 3:
            return None
        before, here, after = self._samples
        return here, central_difference(before, here, after, self._time_step)

    def clear(self) -> None:
        """Forget all samples: what comes next does not follow from them."""
        self._samples = []


def central_difference(
    before: Sample, here: Sample, after: Sample, time_step: float
) -> Array:
    """Peculiar velocities of the sample in the middle.

    v = (q(t+dt) − q(t−dt)) / 2dt − q(t) h⁻¹ dh/dt

    where jumps of q by lattice vectors (an engine that wraps) are taken back first, and
    the second term is the motion that a barostat gives to the cell as a whole.

    Args:
        before: one time step before `here`.
        here: where the velocities are wanted.
        after: one time step after `here`.
        time_step: fs.

    Returns:
        (n_atoms, 3) Å/fs.

    Source: docs/theory.md, eq. (82). Velocity Verlet: Swope et al., JCP 76, 637 (1982);
        cell term: barostat of Martyna, Tobias, Klein, JCP 101, 4177 (1994).
    """
    inverse = _inverse(here)
    fractional = here.positions @ inverse
    forward = unwrapped(after, fractional)
    backward = unwrapped(before, fractional)
    velocities: Array = (forward - backward) / (2 * time_step)
    if not (
        np.array_equal(before.cell, here.cell) and np.array_equal(after.cell, here.cell)
    ):
        cell_velocity = (after.cell - before.cell) / (2 * time_step)
        velocities = velocities - fractional @ cell_velocity
    return velocities


def _inverse(sample: Sample) -> Array:
    try:
        inverse: Array = np.asarray(np.linalg.inv(sample.cell), np.float64)
    except np.linalg.LinAlgError:
        raise FrameError(
            f"step {sample.step}: the cell {sample.cell.tolist()} has no volume. Give "
            "the engine a periodic box."
        ) from None
    return inverse


def unwrapped(sample: Sample, fractional: Array) -> Array:
    """Positions of the images that are nearest to the given fractional coordinates.

    The jump is counted in the cell of the sample itself: an engine wraps each frame
    with the cell of that frame.
    """
    own = sample.positions @ _inverse(sample)
    jumps = np.round(own - fractional)
    if not jumps.any():
        return sample.positions
    positions: Array = sample.positions - jumps @ sample.cell
    return positions
