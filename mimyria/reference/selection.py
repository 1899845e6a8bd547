"""Selection: which frames of a trajectory are worth computing.

Three ways: at random, as different from each other as possible, and where models
disagree. Everything follows from the seed and the order of the frames; nothing depends
on sets, hashes or the number of frames asked for. Trajectories are read once and may
have any length; what is held in memory is a pool of fixed size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Frame
from mimyria.reference.descriptors import RadialDescriptor
from mimyria.reference.picking import (
    Reservoir,
    farthest_points,
    least_distance,
    most_uncertain,
)
from mimyria.settings.fields import choice, require, setting

__all__ = ["SelectionSettings", "committee_score", "select_frames"]

METHODS: Final = ("random", "farthest", "uncertain")


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """Which of the frames are computed; without it all of them."""

    method: str = setting(
        "farthest",
        "`random`; `farthest`: as different as possible; `uncertain`: where several "
        "models disagree most",
    )
    count: int = setting(24, "frames to choose; those that are planned already count")
    seed: int = setting(1, "of everything random; the same seed gives the same frames")
    pool: int = setting(
        2000,
        "frames held in memory while choosing: a random sample of the trajectory, or "
        "its most uncertain frames",
    )
    cutoff: float = setting(6.0, "Å, reach of the comparison of two frames")
    separation: float = setting(
        0.5,
        "for `uncertain`: least distance of two chosen frames, in units of the median "
        "distance of two frames of the pool",
    )

    def __post_init__(self) -> None:
        """Check values once."""
        choice("selection.method", self.method, METHODS)
        require(self.count >= 1, "selection.count", "1 or more", self.count)
        require(self.seed >= 0, "selection.seed", "0 or more", self.seed)
        require(self.pool >= self.count, "selection.pool", "at least count", self.pool)
        require(self.cutoff > 0, "selection.cutoff", "above 0 Å", self.cutoff)
        require(
            0 <= self.separation < 2, "selection.separation", "0 to 2", self.separation
        )


def committee_score(predictions: Sequence[ArrayLike], masses: ArrayLike) -> float:
    """How far models disagree on one frame, as the spectrum would feel it.

    Σ_i var(P_i)/m_i, the variance over the models summed over the components.

    Args:
        predictions: of each model, (n_atoms, ...) — its tensors of the same frame.
        masses: (n_atoms,) amu.

    Source: docs/theory.md, eq. (65).
    """
    stacked = np.stack([np.asarray(each, dtype=np.float64) for each in predictions])
    weights = np.asarray(masses, dtype=np.float64)
    if len(stacked) < 2 or weights.shape != stacked.shape[1:2]:
        raise ShapeError(
            "a committee needs at least two models and a mass for every atom, not "
            f"{len(stacked)} and {weights.shape} for tensors of {stacked.shape[1:]}."
        )
    variance = stacked.var(axis=0, ddof=1).reshape(len(weights), -1).sum(axis=1)
    return float((variance / weights).sum())


def select_frames(
    frames: Iterable[Frame],
    settings: SelectionSettings,
    *,
    scores: Sequence[float] | None = None,
    chosen: Sequence[Frame] = (),
    exclude: Collection[int] = (),
) -> list[tuple[int, Frame]]:
    """Choose frames of a trajectory, which is read once.

    Args:
        frames: the trajectory.
        settings: how.
        scores: of every frame, for the method `uncertain`.
        chosen: frames that are computed already; the new ones keep away from them,
            but for the method `random`.
        exclude: places in the trajectory that are not taken.

    Returns:
        Places and frames in the order of choice. Fewer than `count` if there are no
        more, or all others are copies of chosen ones or too near to them.
    """
    if settings.method == "uncertain" and scores is None:
        raise SettingsError(
            "selection.method 'uncertain' needs the disagreement of a committee for "
            "every frame: predict with two models or more, or take 'farthest'."
        )
    candidates = _pool(frames, settings, scores, frozenset(exclude))
    if settings.method == "random" or not candidates:
        return candidates
    return _by_distance(candidates, settings, scores, chosen)


def _pool(
    frames: Iterable[Frame],
    settings: SelectionSettings,
    scores: Sequence[float] | None,
    exclude: frozenset[int],
) -> list[tuple[int, Frame]]:
    """A random sample of the frames, or those of the largest scores."""
    keys = None
    if settings.method == "uncertain":
        keys = -np.asarray(scores, dtype=np.float64)
        if not np.isfinite(keys).all():
            raise ShapeError("scores must be finite; a model gave none for a frame.")
    size = settings.count if settings.method == "random" else settings.pool
    pool = Reservoir[tuple[int, Frame]](size, settings.seed)
    n_frames = 0
    for place, frame in enumerate(frames):
        n_frames += 1
        if keys is not None and place >= len(keys):
            break
        if place in exclude:
            pool.skip()
        else:
            pool.push((place, frame), None if keys is None else float(keys[place]))
    if keys is not None and len(keys) != n_frames:
        raise ShapeError(
            f"there must be a score for every frame, but there are {len(keys)} scores "
            f"for {'more' if n_frames > len(keys) else n_frames} frames."
        )
    return [item for _, item in pool.items]


def _by_distance(
    candidates: list[tuple[int, Frame]],
    settings: SelectionSettings,
    scores: Sequence[float] | None,
    chosen: Sequence[Frame],
) -> list[tuple[int, Frame]]:
    everything = [*chosen, *(frame for _, frame in candidates)]
    elements = sorted({int(n) for frame in everything for n in frame.numbers})
    descriptor = RadialDescriptor(tuple(elements), settings.cutoff)
    vectors = descriptor.scaled(np.stack([descriptor.of(f) for f in everything]))
    n_chosen = len(chosen)
    before = range(n_chosen)
    if settings.method == "farthest":
        picked = farthest_points(vectors, settings.count, before)
    else:
        assert scores is not None
        values = [0.0] * n_chosen
        values += [float(scores[place]) for place, _ in candidates]
        distance = least_distance(vectors[n_chosen:], settings.separation)
        picked = most_uncertain(values, vectors, settings.count, distance, before)
    return [candidates[place - n_chosen] for place in picked]
