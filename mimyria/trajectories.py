"""Trajectories: correlations less the mean of each trajectory, all of equal weight.

Our estimates need neither habit: they are what some programs do, and comparisons ask
for. Both can be had while samples stream by. A trajectory is a segment; when it ends,
its sums of products, its total and its first and last samples give the correlation that
removing its mean would have given, and only the sum over trajectories is kept. Memory
is that of one trajectory, however many there are.

It knows sums of products and samples; not how they were transformed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Trajectories
from mimyria.frame import Array

__all__ = ["TrajectoryMeans"]


class TrajectoryMeans:
    """Running mean of the demeaned correlations of trajectories.

    R°_uv(l) = R_uv(l) − ½ Σ_c w_c [m_u (F_v + E_v) + m_v (F_u + E_u)] + (N − l) m_u m_v
    C(l) = (1/K) Σ_k R°_k(l) / (N_k − l)

    with the mean m of a trajectory and the sums F and E over its first and its last
    N − l samples. A lag that a trajectory does not reach counts as zero.

    Attributes:
        power: cross power of the open trajectory, to be added to.
        head: (width, n_lags − 1) — its first samples.
        total: (width,) — sum of its samples in full steps.

    Source: docs/theory.md, eq. (56), (57).
    """

    def __init__(
        self,
        power: NDArray[np.complex128],
        n_lags: int,
        pairs: Sequence[tuple[int, int]],
        weights: Sequence[float],
        width: int,
    ) -> None:
        """Begin with no samples.

        Args:
            power: zeros of the shape of the cross power; becomes its own.
            n_lags: lags of the correlation.
            pairs: channels that are correlated.
            weights: of the components of a channel.
            width: numbers in a sample.
        """
        self.power = power
        self.head = np.zeros((width, n_lags - 1))
        self.total = np.zeros(width)
        self._n_lags = n_lags
        self._first, self._second = np.array(pairs, np.int64).T
        self._weights = np.array(weights)
        self._sums = np.zeros((len(pairs), n_lags))
        # Number, first, shortest and longest of the trajectories that are over.
        self._numbers = np.zeros(4, np.int64)

    def begin(self, step: Array, at: int) -> None:
        """Keep the first samples of the trajectory.

        Args:
            step: (width, n) samples, of which those before `n_lags` − 1 are kept.
            at: samples before them.
        """
        kept = self.head[:, at : at + step.shape[1]]
        kept[:] = step[:, : kept.shape[1]]

    def add_step(self, step: Array, power: NDArray[np.complex128]) -> None:
        """Add one full step of samples, (width, n), and its cross power."""
        self.total += step.sum(axis=1)
        self.power += power

    def end(self, sums: Array, total: Array, tail: Array, n_samples: int) -> None:
        """End the trajectory; one without samples is none.

        Args:
            sums: (n_pairs, n_lags) — sums of its products.
            total: (width,) — sum of its samples.
            tail: (width, n_lags − 1) — its last samples, zeros before the first one.
            n_samples: their number.
        """
        if n_samples:
            self._sums += self._demeaned(sums, total, tail, n_samples)
            self._numbers = _joined(self._numbers, _one(n_samples))
        self.power[:] = 0.0
        self.head[:] = 0.0
        self.total[:] = 0.0

    def result(
        self, sums: Array, total: Array, tail: Array, n_samples: int
    ) -> Trajectories | None:
        """As if the open trajectory ended here; None before the first sample.

        The arguments are those of `end`; nothing changes.
        """
        added, numbers = self._sums, self._numbers
        if n_samples:
            added = added + self._demeaned(sums, total, tail, n_samples)
            numbers = _joined(numbers, _one(n_samples))
        number, first, shortest, longest = numbers.tolist()
        if not number:
            return None
        values = np.ascontiguousarray(added.T) / number
        return Trajectories(values, number, first, shortest, longest)

    def add(self, other: TrajectoryMeans) -> None:
        """Take in the trajectories of another one that are over."""
        self._sums += other._sums
        self._numbers = _joined(self._numbers, other._numbers)

    def state(self) -> dict[str, NDArray[Any]]:
        """All there is, as views; to be copied, or written into."""
        return {
            "trajectory_power": self.power.view(np.float64),
            "trajectory_head": self.head,
            "trajectory_total": self.total,
            "trajectory_sums": self._sums,
            "trajectory_numbers": self._numbers,
        }

    def _demeaned(
        self, sums: Array, total: Array, tail: Array, n_samples: int
    ) -> Array:
        """(n_pairs, n_lags) — R°(l)/(N − l); zero from lag N on."""
        shape = (-1, len(self._weights), self._n_lags)
        ends = _running_sums(tail[:, ::-1]) + _running_sums(self.head)
        both = (2.0 * total[:, np.newaxis] - ends).reshape(shape)  # F + E
        mean = (total / n_samples).reshape(*shape[:2], 1)
        counts = n_samples - np.arange(self._n_lags)
        u, v, w = self._first, self._second, self._weights
        mixed = 0.5 * (mean[u] * both[v] + mean[v] * both[u]) - counts * (
            mean[u] * mean[v]
        )
        demeaned = sums - np.einsum("c,pcl->pl", w, mixed)
        values: Array = np.where(counts > 0, demeaned / np.maximum(counts, 1), 0.0)
        return values


def _running_sums(samples: Array) -> Array:
    """(width, n + 1) — sums of the first 0, 1 … n of (width, n) samples."""
    sums = np.zeros((len(samples), samples.shape[1] + 1))
    np.cumsum(samples, axis=1, out=sums[:, 1:])
    return sums


def _one(n_samples: int) -> NDArray[np.int64]:
    """Number, first, shortest and longest of one trajectory."""
    return np.array([1, n_samples, n_samples, n_samples], np.int64)


def _joined(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number, first, shortest and longest of both, mine before theirs."""
    if not mine[0] or not theirs[0]:
        return theirs.copy() if not mine[0] else mine.copy()
    number, shortest = mine[0] + theirs[0], min(mine[2], theirs[2])
    return np.array([number, mine[1], shortest, max(mine[3], theirs[3])], np.int64)
