"""Sequence: which place a frame takes in the series, if any.

Knows steps and digests only. Every step enters once; a step that was seen is dropped; a
missing step starts a new segment, so that no pair across a gap is ever correlated; an
engine that comes back from a checkpoint and goes another way replaces the old branch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimyria.errors import FrameError
from mimyria_driver.digests import Digests

__all__ = ["Place", "Sequencer"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame belongs.

    Attributes:
        previous_step: its neighbour in the same segment, −1 where a segment starts.
        rollback: whether everything from its step on is void first.
    """

    previous_step: int
    rollback: bool


class Sequencer:
    """Gives each frame its place; takes frames in the order of arrival."""

    def __init__(
        self, stride: int, last_step: int = -1, seen: Iterable[tuple[int, bytes]] = ()
    ) -> None:
        """Begin, perhaps in the middle of a run.

        Args:
            stride: steps from one frame to the next.
            last_step: last step that is in the series, −1: none.
            seen: steps and digests of the series, oldest first.
        """
        self.stride = stride
        self.last_step = last_step
        self.n_duplicates = 0
        # What is older than these is not recognised and is replaced by its equal.
        self._digests = Digests(seen)
        self.start_stream()

    def start_stream(self) -> None:
        """An engine has (re)connected: it may begin at an earlier step."""
        self._fresh = True  # no frame of this stream is in the series yet
        self._joined = False  # it repeated frames of the series to the bit

    def place(self, step: int, previous_step: int, digest: bytes) -> Place | None:
        """Place the next frame.

        Args:
            step: its MD step.
            previous_step: step of the frame sent before it, −1 for the first of a
                stream; where a stream goes back and its source knows that it goes on
                from the series, the step before.
            digest: hash of its content.

        Returns:
            Its place, or None for a frame that is there already.

        Raises:
            FrameError: steps go back within one stream.
        """
        if step < 0:
            raise FrameError(f"a frame has the step {step}; steps start at 0.")
        if step > self.last_step:
            follows = step == self.last_step + self.stride
            honest = previous_step in (-1, self.last_step)
            neighbour = self.last_step if follows and honest else -1
            place = Place(-1 if self.last_step < 0 else neighbour, rollback=False)
        elif self._digests.get(step) == digest:
            self._joined = True
            self.n_duplicates += 1
            return None
        else:
            place = self._roll_back(step, previous_step)
        self._fresh = False
        self.last_step = step
        self._digests.append(step, digest)
        return place

    def _roll_back(self, step: int, previous_step: int) -> Place:
        if not self._fresh:
            raise FrameError(
                f"step {step} came after step {self.last_step} with other content. "
                "Within one run steps must rise: do not reset the time step between "
                "runs, and let only one engine send to this driver."
            )
        # Only a stream that first repeated the series to the bit is its continuation,
        # or one whose source knows that it is.
        neighbour = step - self.stride
        known = self._joined or previous_step == neighbour
        joined = known and neighbour in self._digests
        self._digests.forget_from(step)
        return Place(neighbour if joined else -1, rollback=True)
