"""Correlation: time correlation functions at linear lags, with their pair counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import IncompatibleError, ShapeError
from mimyria.frame import Array

__all__ = ["Correlation", "all_pairs"]


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
    """

    lags: Array
    values: Array
    counts: NDArray[np.int64]
    pairs: tuple[tuple[int, int], ...]
    unit: str
    n_samples: int

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


def all_pairs(n_channels: int) -> tuple[tuple[int, int], ...]:
    """Autocorrelations first, then the pairs u < v row by row."""
    autos = [(u, u) for u in range(n_channels)]
    crosses = [(u, v) for u in range(n_channels) for v in range(u + 1, n_channels)]
    return tuple(autos + crosses)
