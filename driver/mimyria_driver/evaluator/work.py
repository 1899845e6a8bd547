"""Work: what a child of the evaluator is given, and what may come of it but samples.

It knows frames and messages, and no process.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimyria.errors import FrameError
from mimyria.frame import Frame
from mimyria_driver.evaluator import messages

__all__ = ["PoisonFrame", "Verdict", "Work"]


class PoisonFrame(FrameError):  # noqa: N818 - the frame is wrong, not the program
    """A frame that no evaluator gets through.

    Attributes:
        frame: the frame.
        reason: what happened, as a sentence without its full stop.
    """

    def __init__(self, frame: Frame, reason: str) -> None:
        """Say both."""
        super().__init__(f"step {frame.step}: {reason}.")
        self.frame = frame
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about all samples since the last good canary.

    Attributes:
        reason: why they are void; empty: they are good.
        code: of the event that says so.
    """

    reason: str
    code: str = "canary_failed"


@dataclass(slots=True, eq=False)
class Work:
    """Frames of one message, or none for a canary; those without an answer yet."""

    frames: list[Frame]
    story: int
    twice: bool = False
    deaths: int = 0

    @property
    def message(self) -> bytes:
        """As it goes to the child."""
        if not self.frames:
            return messages.wrap(messages.CANARY, b"")
        kind = messages.TWICE if self.twice else messages.BATCH
        return messages.wrap(kind, messages.pack_batch(self.frames))
