"""Digests: what the last frames of a series held, 8 bytes of each.

Its memory is taken whole at the beginning and never changes: a run of a week must not
need more than one of a minute, and a table that is made anew now and then would leave
holes of megabytes behind.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["MEMORY", "Digests"]

MEMORY: Final = 65_536
"""Frames that are remembered: 16 bytes of each."""
_SIZE: Final = 8


class Digests:
    """A ring of the last steps, which rise, and the digests of their frames."""

    def __init__(
        self, seen: Iterable[tuple[int, bytes]] = (), most: int = MEMORY
    ) -> None:
        """Begin with some, oldest first.

        Args:
            seen: steps and digests.
            most: so many are remembered.
        """
        self._most = most
        # Written to at once: memory that is only promised would still grow.
        self._steps = array("q", [-1]) * most
        self._digests = bytearray(b"\xff") * (_SIZE * most)
        self._first = 0  # place of the oldest
        self._length = 0
        for step, digest in seen:
            self.append(step, digest)

    def __len__(self) -> int:
        """Frames that are remembered now."""
        return self._length

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Steps and digests, oldest first."""
        for index in range(self._length):
            yield self._steps[self._place(index)], self._digest(index)

    def __contains__(self, step: int) -> bool:
        """Whether the frame of a step is remembered."""
        return self.get(step) is not None

    def get(self, step: int) -> bytes | None:
        """Digest of a step; None if it is not known, or no longer."""
        index = self._find(step)
        if index == self._length or self._steps[self._place(index)] != step:
            return None
        return self._digest(index)

    def append(self, step: int, digest: bytes) -> None:
        """Remember a frame behind all others; the oldest one makes room.

        Args:
            step: higher than all that are there.
            digest: 8 bytes.
        """
        place = self._place(self._length)
        self._steps[place] = step
        self._digests[_SIZE * place : _SIZE * (place + 1)] = digest
        if self._length < self._most:
            self._length += 1
        else:
            self._first = self._place(1)

    def forget_from(self, step: int) -> None:
        """Forget this step and all later ones."""
        self._length = self._find(step)

    def _place(self, index: int) -> int:
        return (self._first + index) % self._most

    def _find(self, step: int) -> int:
        """How many steps are lower."""
        return bisect_left(
            range(self._length), step, key=lambda i: self._steps[self._place(i)]
        )

    def _digest(self, index: int) -> bytes:
        begin = _SIZE * self._place(index)
        return bytes(self._digests[begin : begin + _SIZE])
