"""Pooling: one correlation from those of several runs; sums and counts add up.

It knows correlations, not results or files. Every pair of samples counts once; blocks
of all runs stand side by side, and trajectories count alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.correlation import Blocks, Correlation, Trajectories, mean_products
from mimyria.errors import IncompatibleError

__all__ = ["as_one_block", "check_interval", "merge_correlations"]

_MOST_BLOCKS: Final = 32
_SAME_LENGTH: Final = 0.7  # blocks at least this part of the longest ones


def merge_correlations(correlations: Sequence[Correlation]) -> Correlation:
    """C(l) = Σ_k R_k(l) / Σ_k count_k(l) over runs k, on the lags that all have.

    Source: docs/theory.md, eq. (3), with runs as segments.

    Raises:
        IncompatibleError: interval, unit or pairs differ.
    """
    first = correlations[0]
    for other in correlations[1:]:
        for what, one, two in (
            ("unit", first.unit, other.unit),
            ("pairs", first.pairs, other.pairs),
        ):
            if one != two:
                raise IncompatibleError(
                    f"the {what} of correlations to merge must be the same, but are "
                    f"{one} and {two}."
                )
        check_interval(first.interval, other.interval, "the correlations")
    n_lags = min(each.n_lags for each in correlations)
    counts = np.sum([each.counts[:n_lags] for each in correlations], axis=0)
    sums = np.sum(
        [
            each.values[:n_lags] * each.counts[:n_lags, np.newaxis]
            for each in correlations
        ],
        axis=0,
    )
    return Correlation(
        first.lags[:n_lags],
        mean_products(sums, counts),
        counts,
        first.pairs,
        first.unit,
        sum(each.n_samples for each in correlations),
        _merge_blocks(correlations, n_lags),
        _merge_trajectories(correlations, n_lags),
    )


def as_one_block(correlation: Correlation) -> Correlation:
    """The same correlation as a single block.

    Blocks that are whole runs let the scatter between runs into an error: what does not
    change within one of them, such as its energy.
    """
    values, counts = correlation.values, correlation.counts
    return replace(correlation, blocks=Blocks(values[np.newaxis], counts[np.newaxis]))


def _merge_trajectories(
    correlations: Sequence[Correlation], n_lags: int
) -> Trajectories | None:
    """Those of all runs, each run as often as it has some; None where one has none."""
    found = [each.trajectories for each in correlations if each.trajectories]
    if len(found) < len(correlations):
        return None
    number = sum(each.number for each in found)
    added = sum((each.number * each.values[:n_lags] for each in found), np.zeros(1))
    return Trajectories(
        added / number,
        number,
        found[0].first,
        min(each.shortest for each in found),
        max(each.longest for each in found),
    )


def _merge_blocks(correlations: Sequence[Correlation], n_lags: int) -> Blocks | None:
    """Blocks of all runs, of about one length; a run without any is one block."""
    if all(each.blocks is None for each in correlations):
        return None
    pieces = [
        each.blocks or Blocks(each.values[np.newaxis], each.counts[np.newaxis])
        for each in correlations
    ]
    longest = max(piece.samples.mean() for piece in pieces)
    pieces = [piece.at_least(math.ceil(_SAME_LENGTH * longest)) for piece in pieces]
    merged = Blocks(
        np.concatenate([piece.values[:, :n_lags] for piece in pieces]),
        np.concatenate([piece.counts[:, :n_lags] for piece in pieces]),
    )
    while merged.n_blocks >= _MOST_BLOCKS:
        merged = merged.paired()
    return merged


def check_interval(one: float, two: float, what: str) -> None:
    """Refuse to pool samples of different intervals, in fs.

    Raises:
        IncompatibleError: they differ.
    """
    if not math.isclose(one, two, rel_tol=1e-9):
        raise IncompatibleError(
            f"{what} have samples every {one:g} and {two:g} fs; only runs of the same "
            "interval can be merged. Replay one of them with another stride."
        )
