"""Picking: few of many, at random, far from each other, or by a score.

Places and vectors only; nothing here knows what a frame is. What is picked does not
depend on how many are wanted: the first ten of twenty are those of ten.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import ShapeError
from mimyria.frame import Array

__all__ = [
    "Reservoir",
    "farthest_points",
    "least_distance",
    "most_uncertain",
    "random_frames",
]

T = TypeVar("T")

_SAME: Final = 1e-9  # of the longest vector; two frames closer than this are copies
_MOST_COMPARED: Final = 500  # frames from which a typical distance is taken


class Reservoir(Generic[T]):
    """The items with the smallest keys of a stream of any length, in constant memory.

    Keys are drawn from the seed, one for each item, unless they are given.
    """

    def __init__(self, count: int, seed: int = 1) -> None:
        """Begin empty.

        Args:
            count: items to keep.
            seed: of the keys; with the same seed a smaller count keeps a subset.
        """
        self._count = count
        self._random = np.random.default_rng(seed)
        self._heap: list[tuple[float, int, T]] = []  # of negated keys: the worst first
        self._seen = 0

    def push(self, item: T, key: float | None = None) -> None:
        """Offer the next item."""
        key = float(self._random.random()) if key is None else key
        entry = (-key, -self._seen, item)
        self._seen += 1
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        elif entry[:2] > self._heap[0][:2]:
            heapq.heapreplace(self._heap, entry)

    def skip(self) -> None:
        """Pass over the next item: the keys of all others stay what they are."""
        self._random.random()
        self._seen += 1

    @property
    def items(self) -> list[tuple[int, T]]:
        """Places in the stream and items, in rising order of the keys."""
        ordered = sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        return [(-place, item) for _, place, item in ordered]


def random_frames(n_frames: int, count: int, seed: int) -> list[int]:
    """Places of frames chosen at random; what a `Reservoir` of that seed keeps.

    Args:
        n_frames: of the trajectory.
        count: to choose; all frames if there are fewer.
        seed: of the choice.
    """
    reservoir = Reservoir[None](count, seed)
    for _ in range(n_frames):
        reservoir.push(None)
    return [place for place, _ in reservoir.items]


def farthest_points(
    vectors: ArrayLike, count: int, chosen: Sequence[int] = ()
) -> list[int]:
    """Points that are each as far as possible from all points before them.

    Without chosen points the first is the one nearest to the mean. Copies of what is
    chosen already are never taken, so that there may be fewer than asked for.

    Args:
        vectors: (n_frames, size) — such as `RadialDescriptor.scaled`.
        count: new points.
        chosen: places of points that are there already.

    Source: docs/theory.md, eq. (64).
    """
    points = _points(vectors)
    smallest = _SAME * float(np.linalg.norm(points, axis=1).max(initial=0.0))
    nearest = _distances(points, chosen)
    picked: list[int] = []
    if not len(chosen) and len(points) and count > 0:
        centre = np.linalg.norm(points - points.mean(axis=0), axis=1)
        picked.append(int(np.argmin(centre)))
        nearest = _distances(points, picked)
    while len(picked) < min(count, len(points)):
        best = int(np.argmax(nearest))
        if not nearest[best] > smallest:
            break
        picked.append(best)
        nearest = np.minimum(nearest, _distances(points, [best]))
    return picked


def most_uncertain(
    scores: ArrayLike,
    vectors: ArrayLike,
    count: int,
    distance: float,
    chosen: Sequence[int] = (),
) -> list[int]:
    """Points of the largest scores that are not near each other.

    Args:
        scores: (n_frames,) — such as `committee_score`.
        vectors: (n_frames, size).
        count: to choose; there are fewer if no others are far enough.
        distance: least distance to every chosen point.
        chosen: places of points that are there already.
    """
    points, values = _points(vectors), np.asarray(scores, dtype=np.float64)
    if values.shape != (len(points),) or not np.isfinite(values).all():
        raise ShapeError(
            f"scores must be {len(points)} finite numbers, one for each frame, not an "
            f"array of shape {values.shape} with {np.isnan(values).sum()} NaN."
        )
    nearest = _distances(points, chosen)
    picked: list[int] = []
    for place in np.argsort(-values, kind="stable"):
        if len(picked) == count:
            break
        if nearest[place] > 0 and nearest[place] >= distance and place not in chosen:
            picked.append(int(place))
            nearest = np.minimum(nearest, _distances(points, [int(place)]))
    return picked


def least_distance(vectors: ArrayLike, share: float) -> float:
    """A part of the median distance of two frames.

    Args:
        vectors: (n_frames, size); of more than 500 evenly spaced ones are taken.
        share: part of it.
    """
    points = _points(vectors)
    few = points[:: max(1, math.ceil(len(points) / _MOST_COMPARED))]
    if len(few) < 2:
        return 0.0
    apart = [np.linalg.norm(few[i + 1 :] - few[i], axis=1) for i in range(len(few) - 1)]
    return share * float(np.median(np.concatenate(apart)))


def _points(vectors: ArrayLike) -> Array:
    points = np.asarray(vectors, dtype=np.float64)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ShapeError(
            f"vectors must have the shape (n_frames, size) and be finite; the shape is "
            f"{points.shape}."
        )
    return points


def _distances(points: Array, others: Sequence[int]) -> Array:
    """(n,) distance of every point to the nearest of some of them; inf without any."""
    nearest = np.full(len(points), np.inf)
    for other in others:
        nearest = np.minimum(nearest, np.linalg.norm(points - points[other], axis=1))
    return nearest
