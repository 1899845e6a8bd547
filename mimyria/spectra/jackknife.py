"""Jackknife: statistical errors of whatever is made of a correlation, from its blocks.

It knows blocks and functions of correlations; no physics. An output is calculated again
without each block in turn, and the scatter of these replicates is its error, however
nonlinear it is: a ratio, a refractive index, the position of a peak, a score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimyria.correlation import Blocks, Correlation, mean_products
from mimyria.frame import Array

__all__ = [
    "LEAST_BLOCKS",
    "WINDOWS_PER_BLOCK",
    "halves",
    "jackknife_error",
    "usable_blocks",
    "without_each_block",
]

WINDOWS_PER_BLOCK: Final = 4
"""Least length of a block in windows; a product reaches one window back."""

LEAST_BLOCKS: Final = 8
"""With fewer blocks the error of the error is over 27 %."""


def usable_blocks(correlation: Correlation, n_lags: int) -> Blocks | None:
    """The blocks, long enough for a window of `n_lags`; None if they are too few.

    That is so while the run is shorter than `LEAST_BLOCKS` × `WINDOWS_PER_BLOCK`
    windows, or where no blocks were kept.
    """
    if correlation.blocks is None:
        return None
    blocks = correlation.blocks.at_least(WINDOWS_PER_BLOCK * n_lags)
    return blocks if blocks.n_blocks >= LEAST_BLOCKS else None


def without_each_block(
    correlation: Correlation, blocks: Blocks
) -> Iterator[Correlation]:
    """The correlation as it would be without the first block, the second and so on."""
    total = correlation.values * correlation.counts[:, np.newaxis]
    for values, counts in zip(blocks.values, blocks.counts, strict=True):
        left = correlation.counts - counts
        sums = total - values * counts[:, np.newaxis]
        yield _part(correlation, sums, left)


def halves(correlation: Correlation) -> tuple[Correlation, Correlation] | None:
    """The correlations of the first and the second half of the run, as blocks allow."""
    blocks = correlation.blocks
    if blocks is None or blocks.n_blocks < 2:
        return None
    ends = np.cumsum(blocks.samples)
    middle = int(np.argmin(np.abs(2 * ends[:-1] - ends[-1]))) + 1
    sums = blocks.sums()
    first, second = (
        _part(correlation, sums[part].sum(axis=0), blocks.counts[part].sum(axis=0))
        for part in (slice(None, middle), slice(middle, None))
    )
    return first, second


def jackknife_error(
    value: ArrayLike, without: Sequence[ArrayLike], samples: ArrayLike
) -> Array:
    """Standard error of a value from its replicates, for blocks of any length.

    var = (1/K) Σ_k (θ̃_k − θ̄)² / (h_k − 1),  θ̃_k = h_k θ − (h_k − 1) θ_(k),  h_k = N/N_k

    Args:
        value: θ, of any shape — from all blocks.
        without: K arrays of the same shape — θ_(k), without block k. Where one is NaN
            (a masked ratio) the others stand for it.
        samples: (K,) — samples N_k in each block.

    Returns:
        The error, of the same shape; NaN where θ is, or fewer than two replicates are
        left.

    Source: docs/theory.md, eq. (31).
    """
    theta = np.asarray(value, dtype=np.float64)
    shape = (-1, *(1,) * theta.ndim)
    weights = np.asarray(samples, dtype=np.float64)
    ratio = (weights.sum() / weights).reshape(shape)
    pseudo = ratio * theta - (ratio - 1) * np.asarray(without, dtype=np.float64)
    found = np.isfinite(pseudo)
    share = np.where(found, 1 / ratio, 0.0)
    known = np.maximum(share.sum(axis=0), np.finfo(float).tiny)
    values = np.where(found, pseudo, 0.0)
    centre = (share * values).sum(axis=0) / known
    terms = np.where(found, (values - centre) ** 2 / (ratio - 1), 0.0)
    n_found = found.sum(axis=0)
    variance = terms.sum(axis=0) / np.maximum(n_found, 1)
    error: Array = np.where(n_found >= 2, np.sqrt(variance), np.nan)
    return np.where(np.isfinite(theta), error, np.nan)


def _part(
    correlation: Correlation, sums: Array, counts: NDArray[np.int64]
) -> Correlation:
    return replace(
        correlation,
        values=mean_products(sums, counts),
        counts=counts,
        n_samples=int(counts[0]),
        blocks=None,
        trajectories=None,
    )
