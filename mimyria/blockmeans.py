"""Block means: running means of many numbers, with statistical errors from blocks.

Law: the bits depend on the rows only, not on how they were cut into calls of `push`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.correlatorchecks import shaped
from mimyria.errors import ShapeError
from mimyria.frame import Array

__all__ = ["BlockMeans"]

_MAX_BLOCKS: Final = 32
_LEAST_BLOCKS: Final = 8
"""Fewer blocks say nothing about a statistical error."""


class BlockMeans:
    """Sums of 16 to 31 blocks of equal length, which doubles when there are 32.

    Attributes:
        width: numbers in one row.
        n_rows: rows so far.
        length: rows in a block.
    """

    def __init__(self, width: int) -> None:
        """Begin with no rows."""
        self.width = width
        self.n_rows = 0
        self.length = 1
        self._sums = np.zeros((_MAX_BLOCKS, width))
        self._full = 0
        self._fill = 0  # rows in the open block

    def push(self, rows: Array) -> None:
        """Append rows.

        Args:
            rows: (n, width).

        Raises:
            ShapeError: the width is another one.
        """
        if rows.ndim != 2 or rows.shape[1] != self.width:
            raise ShapeError(
                f"rows must have the shape (n, {self.width}), not {rows.shape}."
            )
        begin = 0
        while begin < len(rows):
            taken = rows[begin : begin + self.length - self._fill]
            # One after the other, whatever the number of rows: a sum would round
            # in another way.
            stacked = np.concatenate([self._sums[self._full][np.newaxis], taken])
            self._sums[self._full] = np.add.accumulate(stacked, axis=0)[-1]
            begin += len(taken)
            self.n_rows += len(taken)
            self._fill += len(taken)
            if self._fill == self.length:
                self._close_block()

    def mean(self) -> Array:
        """(width,) — mean of all rows; NaN before the first."""
        if not self.n_rows:
            return np.full(self.width, math.nan)
        total: Array = self._sums[: self._full + 1].sum(axis=0) / self.n_rows
        return total

    def error(self, value: Array, weight: Array | None = None) -> float:
        """Standard error of the ratio of two mean combinations of the columns.

        R = <a·row> / <b·row>;  se² = Σ_k (a_k − R b_k)² / (<b>² K (K − 1))

        The largest of what blocks of one, two and more lengths give, since short
        blocks of a slow series give too little; NaN with fewer than 8 blocks.

        Args:
            value: (width,) — coefficients a of the numerator.
            weight: (width,) — coefficients b of the denominator; None: it is 1.

        Source: docs/theory.md, eq. (42).
        """
        used = value != 0
        if weight is not None:
            used |= weight != 0
        blocks = self._sums[: self._full, used] / self.length
        above = blocks @ value[used]
        below = np.ones(len(blocks)) if weight is None else blocks @ weight[used]
        errors = [math.nan]
        while len(above) >= _LEAST_BLOCKS:
            ratio = above.sum() / below.sum()
            rest = (above - ratio * below) / below.mean()
            errors.append(math.sqrt(rest @ rest / (len(rest) * (len(rest) - 1))))
            even = len(above) // 2 * 2
            above = above[:even].reshape(-1, 2).mean(axis=1)
            below = below[:even].reshape(-1, 2).mean(axis=1)
        return max(errors[1:], default=math.nan)

    def state(self) -> dict[str, NDArray[Any]]:
        """All that is needed to go on; `restore` inverts it."""
        progress = (self.n_rows, self.length, self._full, self._fill)
        return {"sums": self._sums.copy(), "progress": np.array(progress, np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `state` was taken, to the bit.

        Raises:
            FormatError: it is that of other rows.
        """
        self._sums[:] = shaped(state, "sums", self._sums.shape)
        self.n_rows, self.length, self._full, self._fill = (
            int(number) for number in shaped(state, "progress", (4,))
        )

    def _close_block(self) -> None:
        self._fill = 0
        self._full += 1
        if self._full == _MAX_BLOCKS:
            self._full //= 2
            self._sums[: self._full] = self._sums[0::2] + self._sums[1::2]
            self._sums[self._full :] = 0.0
            self.length *= 2
        elif self._full < _MAX_BLOCKS:
            self._sums[self._full] = 0.0
