"""Replay: a stored trajectory as a source, in constant memory.

The frames go through the very same service as those of a running engine, so that live
and replayed spectra agree to the last digits.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Final

from ase.data import atomic_masses

from mimyria.errors import FormatError, FrameError
from mimyria.frame import Frame
from mimyria.io.extxyz import read_extxyz
from mimyria_driver.sources import Arrived, Ended, Event, RunDescription, Started

__all__ = ["ReplaySource"]

_AT_ONCE: Final = 4


class ReplaySource:
    """Frames of an extxyz file with velocities.

    Steps are those of the file; frames that are merely counted are `stride` apart.
    """

    def __init__(
        self,
        path: Path,
        time_step: float,
        stride: int = 1,
        velocities_unit: str | None = None,
    ) -> None:
        """Read the first two frames.

        Args:
            path: extxyz file with a velocities column.
            time_step: MD time step, fs.
            stride: MD steps from one stored frame to the next.
            velocities_unit: unit of the velocities, where the file does not say it.

        Raises:
            FormatError: the file is missing, or holds no extended XYZ.
            FrameError: the stride is not that of the file.
        """
        if not path.is_file():
            raise FormatError(f"{path}: there is no such trajectory.")
        overrides = {"velocities_unit": velocities_unit} if velocities_unit else {}
        self._frames = read_extxyz(path, **overrides)
        # At the front, the two frames that tell how the file counts.
        self._ahead = [item.frame for item in itertools.islice(self._frames, 2)]
        self._factor = _step_factor([frame.step for frame in self._ahead], stride, path)
        self._previous = -1
        self._durable = -1
        self._state = "new"
        first = self._ahead[0]
        self._description = RunDescription(
            engine=f"replay of {path.name}",
            numbers=first.numbers,
            masses=atomic_masses[first.numbers],
            time_step=time_step,
            stride=stride,
        )

    @property
    def pollable(self) -> None:
        """A file never has to be waited for."""
        return

    def receive(self) -> list[Event]:
        """The next few frames, or what else there is to say."""
        if self._state == "new":
            self._state = "offered"
            return [Started(self._description)]
        events: list[Event] = []
        while self._state == "accepted" and len(events) < _AT_ONCE:
            frame = self._next()
            if frame is None:
                self._state = "ended"
                events.append(Ended("end of the trajectory"))
                break
            if frame.step > self._durable:
                events.append(Arrived(frame, self._previous))
            self._previous = frame.step
        return events

    def accept(self, durable_step: int) -> None:
        """Go on behind what is safe already."""
        self._state = "accepted"
        self._durable = durable_step

    def refuse(self, reason: str) -> None:
        """Send nothing."""
        self._state = "ended"

    def acknowledge(self, step: int) -> None:
        """The file keeps its frames anyway."""

    def close(self, *, coming_back: bool = False) -> None:
        """Close the file."""
        self._state = "ended"
        self._frames = iter(())

    def _next(self) -> Frame | None:
        if self._ahead:
            frame = self._ahead.pop(0)
        else:
            item = next(self._frames, None)
            if item is None:
                return None
            frame = item.frame
        if self._factor == 1:
            return frame
        return dataclasses.replace(frame, step=frame.step * self._factor)


def _step_factor(steps: list[int], stride: int, path: Path) -> int:
    """What to multiply the steps of the file by."""
    apart = steps[1] - steps[0] if len(steps) > 1 else stride
    if apart == stride:
        return 1
    if apart == 1:
        return stride  # the file does not know its steps: they are counted
    raise FrameError(
        f"{path}: the first two frames are {apart} steps apart, but the stride is "
        f"{stride}. Set the stride (source.stride, --stride) to {apart}, and the time "
        "step to that of the dynamics."
    )
