"""Range check: samples that are far outside of what the run has given so far.

The velocities of dipole and polarizability have no mean and a known size: that of the
frames before. A number that is many times as large says that the device was wrong, or
that something has happened in the simulation; evaluating the frame once more tells the
one from the other. It knows samples, and neither frames nor a device.

Source: docs/operation.md, "Frames that are evaluated twice".
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.currents import Currents
from mimyria.frame import Array

__all__ = ["RangeCheck"]

_FIRST: Final = 100
"""Samples that are looked at before any is judged."""
_MEMORY: Final = 1000
"""Samples over which the mean runs."""
_MEDIAN: Final = 0.4549364
"""Median of x² for a Gaussian x of unit variance."""
_LEAST: Final = 1e-3
"""Of the largest component: what symmetry makes zero has a size of rounding only."""


class RangeCheck:
    """The running size σ of each component, σ² = ⟨x²⟩.

    It begins with the median of the first samples, which one wrong sample among them
    does not move, and follows with a mean that forgets, so that it rises and falls with
    the temperature. What is far outside enters the mean as if it stood at twice the
    border: one wrong sample changes little, and a simulation that becomes livelier at
    once is followed within two hundred frames.
    """

    def __init__(self, above: float) -> None:
        """Begin with no samples.

        Args:
            above: how many σ are outside; 0: nothing is.
        """
        self._above = above
        self._first: list[Array] = []
        self._squares: Array | None = None
        self._n = 0

    def look(self, currents: Currents) -> float:
        """Take a sample in.

        Returns:
            How many σ its farthest component is away if that is outside; else 0.
        """
        if not self._above:
            return 0.0
        row, kinds = _components(currents)
        squares = row**2
        if self._squares is None:
            self._begin(squares)
            return 0.0
        floor = np.zeros(len(squares))
        for kind in kinds:
            floor[kind] = _LEAST**2 * self._squares[kind].max()
        usual = np.maximum(self._squares, floor)
        known = usual > 0
        ratio = float((squares[known] / usual[known]).max(initial=0.0))
        most = np.where(known, (2 * self._above) ** 2 * usual, np.inf)
        self._follow(np.minimum(squares, most))
        return ratio**0.5 if ratio > self._above**2 else 0.0

    def _begin(self, squares: Array) -> None:
        if not squares.any():
            return  # a simulation that begins at rest shows no size for as long
        self._first.append(squares)
        self._n = len(self._first)
        if self._n == _FIRST:
            self._squares = np.median(self._first, axis=0) / _MEDIAN
            self._first = []

    def _follow(self, squares: Array) -> None:
        assert self._squares is not None
        self._n = min(self._n + 1, _MEMORY)
        self._squares += (squares - self._squares) / self._n


def _components(currents: Currents) -> tuple[Array, list[slice]]:
    """All components in a row, and which of them are of one kind."""
    present = [
        part for part in (currents.dipole, currents.polarizability) if part is not None
    ]
    ends = np.cumsum([len(part) for part in present]).tolist()
    kinds = [
        slice(end - len(part), end) for end, part in zip(ends, present, strict=True)
    ]
    return np.concatenate(present), kinds
