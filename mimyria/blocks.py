"""Block store: sums of products in a bounded number of successive blocks of time.

It knows sums and counts; not what was correlated, nor how. When it is full, neighbours
are added in pairs and the length of a block doubles, so that a run of any length keeps
between half and all of its places filled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Blocks, mean_products
from mimyria.errors import SettingsError
from mimyria.frame import Array

__all__ = ["BlockStore"]


class BlockStore:
    """Blocks of (n_pairs, n_lags) sums, in the order of time.

    Memory: at most `max_blocks` n_pairs n_lags numbers of 8 bytes, however long the
    run: 47 MB for 32 blocks of 45 pairs and 4096 lags.

    Attributes:
        max_blocks: places for blocks; 0 keeps none.
        length: samples after which a block is full.
        whole_segments: whether blocks end with segments only.

    Source: docs/theory.md, "Errors from blocks", eq. (30).
    """

    def __init__(
        self, max_blocks: int, length: int, *, whole_segments: bool = False
    ) -> None:
        """Begin empty.

        Raises:
            SettingsError: `max_blocks` is odd or negative.
        """
        if max_blocks < 0 or max_blocks % 2:
            raise SettingsError(
                f"max_blocks must be an even number, or 0, but is {max_blocks}."
            )
        self.max_blocks = max_blocks
        self.length = length
        self.whole_segments = whole_segments
        self._sums: list[Array] = []
        self._counts: list[NDArray[np.int64]] = []

    @property
    def n_blocks(self) -> int:
        """Blocks that are closed."""
        return len(self._sums)

    def takes(self, n_samples: int, *, at_border: bool) -> bool:
        """Whether a block of so many samples is over; half is enough at a border.

        Of whole segments three quarters are: with half, segments of one length would
        never be gathered in blocks of two.
        """
        if not self.max_blocks:
            return False
        if self.whole_segments:
            return at_border and n_samples >= 0.75 * self.length
        return n_samples >= (self.length / 2 if at_border else self.length)

    def close(self, sums: Array, counts: NDArray[np.int64]) -> None:
        """Keep a block that is over, and make room for the next one.

        Args:
            sums: (n_pairs, n_lags), becomes the store's own.
            counts: (n_lags,), becomes the store's own.
        """
        self._sums.append(sums)
        self._counts.append(counts)
        if self.whole_segments:
            self.length = max(self.length, int(counts[0]))
        if self.n_blocks == self.max_blocks:
            self._double()

    def joined(self, other: BlockStore) -> BlockStore:
        """Blocks of both, one after the other, brought to one length."""
        mine, theirs = self._copy(), other._copy()
        while mine.length < theirs.length:
            mine._double()
        while theirs.length < mine.length:
            theirs._double()
        mine._sums += theirs._sums
        mine._counts += theirs._counts
        while mine.max_blocks and mine.n_blocks >= mine.max_blocks:
            mine._double()
        return mine

    def blocks(self, sums: Array, counts: NDArray[np.int64]) -> Blocks | None:
        """All blocks, with the open one; None where no blocks are kept.

        An open block that is less than half full counts as a part of the last closed
        one: alone its scatter would be that of few products.

        Args:
            sums: (n_pairs, n_lags) of the open block.
            counts: (n_lags,) of the open block.
        """
        if not self.max_blocks:
            return None
        all_sums, all_counts = list(self._sums), list(self._counts)
        if all_sums and 2 * counts[0] < self.length:
            all_sums[-1] = all_sums[-1] + sums
            all_counts[-1] = all_counts[-1] + counts
        else:
            all_sums.append(sums)
            all_counts.append(counts)
        stacked = np.stack(all_counts)
        by_lag = np.stack([block.T for block in all_sums])
        return Blocks(mean_products(by_lag, stacked), stacked)

    def state(self, n_pairs: int, n_lags: int) -> dict[str, NDArray[Any]]:
        """All there is, as arrays; `restore` takes it back."""
        return {
            "block_sums": np.array(self._sums).reshape(-1, n_pairs, n_lags),
            "block_counts": np.array(self._counts, np.int64).reshape(-1, n_lags),
        }

    def restore(self, sums: Array, counts: NDArray[np.int64], length: int) -> None:
        """Go on where `state` was taken."""
        self.length = length
        self._sums = [block.copy() for block in sums]
        self._counts = [block.copy() for block in counts]

    def _double(self) -> None:
        """Add neighbours in pairs; a last odd block stays alone."""
        self._sums = [_sum_of(self._sums[i : i + 2]) for i in self._pairs()]
        self._counts = [_sum_of(self._counts[i : i + 2]) for i in self._pairs()]
        self.length *= 2

    def _pairs(self) -> range:
        return range(0, len(self._counts), 2)

    def _copy(self) -> BlockStore:
        store = BlockStore(
            self.max_blocks, self.length, whole_segments=self.whole_segments
        )
        store._sums = list(self._sums)  # blocks are never changed in place
        store._counts = list(self._counts)
        return store


def _sum_of(blocks: list[NDArray[Any]]) -> NDArray[Any]:
    """Sum of one or two blocks."""
    return blocks[0] if len(blocks) == 1 else blocks[0] + blocks[1]
