"""Deaths of evaluators: whether the frame, the device or chance is to blame.

It knows times and names, and no process. A batch that kills once is given to the next
process as it is. If it kills again, its frames are tried one by one; a frame that kills
twice when alone is poison. Deaths that no frame explains are the device's, and three of
them in ten minutes are too many. After the first death the next process begins at once,
after each further one it waits longer before it touches the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

__all__ = ["Deaths"]

TWICE: Final = 2
MOST: Final = 3
_WINDOW: Final = 600.0
_LONGEST: Final = 60.0


class Deaths:
    """The deaths of the last ten minutes.

    Attributes:
        total: all deaths of the run.
    """

    def __init__(self) -> None:
        """None so far."""
        self.total = 0
        self._stories: deque[tuple[float, Hashable]] = deque()

    def add(self, now: float, story: Hashable) -> None:
        """Count a death.

        Args:
            now: any clock, s.
            story: what was calculated; the same for frames of one batch.
        """
        self.total += 1
        self._stories.append((now, story))
        while now - self._stories[0][0] > _WINDOW:
            self._stories.popleft()

    @property
    def pause(self) -> float:
        """Seconds that the next process waits: 0, 1, 2, 4 … 60.

        Deaths of more than ten minutes ago are forgotten, so it falls back by itself.
        """
        n_before = len(self._stories) - 1
        return min(_LONGEST, 2.0 ** (n_before - 1)) if n_before > 0 else 0.0

    @property
    def too_many(self) -> bool:
        """Whether the device is to blame: different things were calculated."""
        return len({story for _, story in self._stories}) >= MOST
