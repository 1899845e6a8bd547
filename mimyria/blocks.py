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

    Memory: `max_blocks` n_pairs n_lags numbers of 8 bytes, however long the run: 47 MB
    for 32 blocks of 45 pairs and 4096 lags. The places stay where they are; blocks that
    came and went would leave holes between what else a long run holds.

    Attributes:
        max_blocks: places for blocks; 0 keeps none.
        length: samples after which a block is full.
        n_blocks: blocks that are closed.
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
        self.n_blocks = 0
        # Places for blocks; the shape of one is known from the first on.
        self._sums: Array = np.zeros((0, 0, 0))
        self._counts: NDArray[np.int64] = np.zeros((0, 0), np.int64)

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
            sums: (n_pairs, n_lags).
            counts: (n_lags,).
        """
        if not len(self._sums):
            self._make_places(self.max_blocks, *sums.shape)
        self._sums[self.n_blocks] = sums
        self._counts[self.n_blocks] = counts
        self.n_blocks += 1
        if self.whole_segments:
            self.length = max(self.length, int(counts[0]))
        if self.n_blocks >= self.max_blocks:
            self._double()

    def joined(self, other: BlockStore) -> BlockStore:
        """Blocks of both, one after the other, brought to one length."""
        mine, theirs = self._copy(), other._copy()
        while mine.length < theirs.length:
            mine._double()
        while theirs.length < mine.length:
            theirs._double()
        filled = [store for store in (mine, theirs) if store.n_blocks]
        if filled:
            mine.restore(
                np.concatenate([store._sums[: store.n_blocks] for store in filled]),
                np.concatenate([store._counts[: store.n_blocks] for store in filled]),
                mine.length,
            )
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
        n = self.n_blocks
        all_sums = np.empty((n + 1, *sums.T.shape))
        all_counts = np.empty((n + 1, len(counts)), np.int64)
        if n:
            all_sums[:n] = self._sums[:n].transpose(0, 2, 1)
            all_counts[:n] = self._counts[:n]
        all_sums[n], all_counts[n] = sums.T, counts
        if n and 2 * counts[0] < self.length:
            all_sums[n - 1] += all_sums[n]
            all_counts[n - 1] += all_counts[n]
            all_sums, all_counts = all_sums[:n], all_counts[:n]
        return Blocks(mean_products(all_sums, all_counts), all_counts)

    def state(self, n_pairs: int, n_lags: int) -> dict[str, NDArray[Any]]:
        """All there is, as arrays; `restore` takes it back."""
        sums, counts = self._sums[: self.n_blocks], self._counts[: self.n_blocks]
        return {
            "block_sums": sums.reshape(-1, n_pairs, n_lags).copy(),
            "block_counts": counts.reshape(-1, n_lags).copy(),
        }

    def restore(self, sums: Array, counts: NDArray[np.int64], length: int) -> None:
        """Go on where `state` was taken."""
        self.length = length
        self.n_blocks = len(sums)
        self._make_places(max(self.max_blocks, len(sums)), *sums.shape[1:])
        self._sums[: len(sums)] = sums
        self._counts[: len(counts)] = counts

    def _make_places(self, n_places: int, n_pairs: int, n_lags: int) -> None:
        self._sums = np.zeros((n_places, n_pairs, n_lags))
        self._counts = np.zeros((n_places, n_lags), np.int64)

    def _double(self) -> None:
        """Add neighbours in pairs; a last odd block stays alone."""
        half = (self.n_blocks + 1) // 2
        for blocks in (self._sums, self._counts):
            for place in range(half):
                first, last = 2 * place, min(2 * place + 1, self.n_blocks - 1)
                blocks[place] = blocks[first]
                if last > first:
                    blocks[place] += blocks[last]
        self.n_blocks = half
        self.length *= 2

    def _copy(self) -> BlockStore:
        store = BlockStore(
            self.max_blocks, self.length, whole_segments=self.whole_segments
        )
        store.n_blocks = self.n_blocks
        store._sums, store._counts = self._sums.copy(), self._counts.copy()
        return store
