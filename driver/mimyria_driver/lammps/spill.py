"""Spill: frames that wait in a file for a driver that is away.

A queue of encoded messages on the disk of the node, in the order they were made. It is
bounded, and it is a part of the engine's process: it ends with it.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque

__all__ = ["Spill", "spill_path"]


class Spill:
    """A bounded first-in first-out queue in a file."""

    def __init__(self, path: str, limit: int) -> None:
        """Nothing is opened before the first frame.

        Args:
            path: of the file, which is replaced.
            limit: bytes that it may have.
        """
        self.path = path
        self._limit = limit
        self._descriptor = -1
        self._end = 0
        self._entries: deque[tuple[int, int, tuple[int, ...]]] = deque()

    def __len__(self) -> int:
        """Frames in the file."""
        return len(self._entries)

    def push(self, step: int, parts: list[bytes]) -> bool:
        """Keep a frame; False where there is no room for it."""
        sizes = tuple(len(part) for part in parts)
        if self._end + sum(sizes) > self._limit:
            return False
        try:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o600)
            data = b"".join(parts)
            if os.pwrite(self._descriptor, data, self._end) != len(data):
                return False
        except OSError:
            return False  # a full disk: what was not kept is overwritten later
        self._entries.append((step, self._end, sizes))
        self._end += len(data)
        return True

    def pop(self) -> tuple[int, list[bytes]]:
        """The oldest frame; it leaves the file."""
        step, begin, sizes = self._entries.popleft()
        data = os.pread(self._descriptor, sum(sizes), begin)
        parts = []
        at = 0
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        if not self._entries:
            os.ftruncate(self._descriptor, 0)
            self._end = 0
        return step, parts

    def close(self) -> None:
        """Remove the file."""
        self._entries.clear()
        self._end = 0
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            os.unlink(self.path)


def spill_path() -> str:
    """A file of this process alone."""
    descriptor, path = tempfile.mkstemp(prefix="mimyria-", suffix=".spill")
    os.close(descriptor)
    return path
