"""Correlation: time correlation functions at linear lags, with their pair counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import IncompatibleError, ShapeError
from mimyria.frame import Array

__all__ = ["Blocks", "Correlation", "Trajectories", "all_pairs", "mean_products"]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A correlation in pieces: successive stretches of time, for statistical errors.

    Every product belongs to the block of its later sample, so that the blocks add up
    to the whole: Σ_k counts_k values_k = counts values.

    Attributes:
        values: (n_blocks, n_lags, n_pairs) — mean products, zero where there are none.
        counts: (n_blocks, n_lags) — number of products; at lag zero, of samples.
    """

    values: Array
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check shapes once."""
        if self.values.ndim != 3 or self.counts.shape != self.values.shape[:2]:
            raise ShapeError(
                "blocks must have values (n_blocks, n_lags, n_pairs) and counts "
                f"(n_blocks, n_lags), not {self.values.shape} and {self.counts.shape}."
            )

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.counts)

    @property
    def samples(self) -> NDArray[np.int64]:
        """(n_blocks,) — samples in each block."""
        return self.counts[:, 0]

    def sums(self) -> Array:
        """(n_blocks, n_lags, n_pairs) — sums of the products."""
        sums: Array = self.values * self.counts[..., np.newaxis]
        return sums

    def paired(self) -> Blocks:
        """Half as many blocks, twice as long; a last odd one stays alone."""
        starts = np.arange(0, self.n_blocks, 2)
        counts = np.add.reduceat(self.counts, starts, axis=0)
        return Blocks(
            mean_products(np.add.reduceat(self.sums(), starts), counts), counts
        )

    def at_least(self, n_samples: int) -> Blocks:
        """Blocks most of which are this long, as many as there can be."""
        blocks = self
        while blocks.n_blocks > 1 and np.median(blocks.samples) < n_samples:
            blocks = blocks.paired()
        return blocks


@dataclass(frozen=True, slots=True, eq=False)
class Trajectories:
    """A correlation of the same samples, estimated in the way of other programs.

    The mean of every trajectory (segment) is removed from its samples, and all count
    alike, whatever their lengths; a lag that one does not reach counts as zero there.

    Attributes:
        values: (n_lags, n_pairs) — in the unit of the correlation.
        number: of trajectories.
        first: samples of the first one.
        shortest: samples of the shortest one.
        longest: samples of the longest one.
    """

    values: Array
    number: int
    first: int
    shortest: int
    longest: int


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """Time correlation functions C_uv(t) = <x_u(0) x_v(t)>, symmetrised in u and v.

    Attributes:
        lags: (n_lags,) fs — equally spaced, from zero.
        values: (n_lags, n_pairs), in `unit` — zero where `counts` is zero.
        counts: (n_lags,) — number of products averaged at each lag.
        pairs: channels (u, v) of each column of `values`.
        unit: unit of `values`.
        n_samples: samples that went in.
        blocks: the same in pieces, or None where they were not kept.
        trajectories: the same less the means of trajectories, or None likewise.
    """

    lags: Array
    values: Array
    counts: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]
    unit: str
    n_samples: int
    blocks: Blocks | None = None
    trajectories: Trajectories | None = None

    def __post_init__(self) -> None:
        """Check shapes once."""
        n_lags = len(self.lags)
        if n_lags < 2:
            raise ShapeError(f"a correlation needs at least 2 lags, but has {n_lags}.")
        for name, found, expected in (
            ("values", self.values.shape, (n_lags, len(self.pairs))),
            ("counts", self.counts.shape, (n_lags,)),
        ):
            if found != expected:
                raise ShapeError(f"{name} must have the shape {expected}, not {found}.")
        if self.blocks is not None and self.blocks.values.shape[1:] != (
            self.values.shape
        ):
            raise ShapeError(
                f"blocks must have the shape (n_blocks, {n_lags}, {len(self.pairs)}), "
                f"not {self.blocks.values.shape}."
            )
        if self.trajectories is not None and self.trajectories.values.shape != (
            self.values.shape
        ):
            raise ShapeError(
                f"trajectories must have the shape {self.values.shape}, not "
                f"{self.trajectories.values.shape}."
            )

    @property
    def interval(self) -> float:
        """Time between two lags, fs."""
        return float(self.lags[1] - self.lags[0])

    @property
    def n_lags(self) -> int:
        """Number of lags, with lag zero."""
        return len(self.lags)

    def column(self, first: int, second: int) -> Array:
        """The (n_lags,) correlation of two channels, in either order.

        Raises:
            IncompatibleError: the pair was not correlated.
        """
        for pair in ((first, second), (second, first)):
            if pair in self.pairs:
                values: Array = self.values[:, self.pairs.index(pair)]
                return values
        raise IncompatibleError(
            f"channels {first} and {second} were not correlated; the pairs are "
            f"{self.pairs}. Correlate again with this pair."
        )


def mean_products(sums: Array, counts: NDArray[np.int64]) -> Array:
    """Sums (..., n_lags, n_pairs) over counts (..., n_lags); zero where none is."""
    divisor = np.maximum(counts, 1)[..., np.newaxis]
    means: Array = np.where(counts[..., np.newaxis] > 0, sums / divisor, 0.0)
    return means


def all_pairs(n_channels: int) -> tuple[tuple[int, int], ...]:
    """Autocorrelations first, then the pairs u < v row by row."""
    autos = [(u, u) for u in range(n_channels)]
    crosses = [(u, v) for u in range(n_channels) for v in range(u + 1, n_channels)]
    return tuple(autos + crosses)
