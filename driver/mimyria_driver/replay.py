"""Replay: a stored trajectory as a source, in constant memory.

The frames go through the very same service as those of a running engine, so that live
and replayed spectra agree to the last digits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ase.data import atomic_masses

from mimyria.errors import FormatError, FrameError
from mimyria.frame import Frame
from mimyria.io.trajectory import Trajectory
from mimyria_driver.sources import Arrived, Ended, Event, RunDescription, Started

__all__ = ["ReplaySource"]

_AT_ONCE: Final = 4


class ReplaySource:
    """Frames with velocities from one file, or from several one after the other.

    Steps are those of the file; frames that are merely counted are `stride` apart. Each
    further trajectory is a segment of its own: its steps are moved behind those of the
    one before, with one place left free, so that no pair crosses the border.
    """

    def __init__(
        self,
        paths: Path | Sequence[Path],
        time_step: float,
        stride: int = 1,
        velocities_unit: str | None = None,
        *,
        kind: str | None = None,
        elements: Mapping[str, str] | None = None,
    ) -> None:
        """Read the first two frames.

        Args:
            paths: the file or files.
            time_step: MD time step, fs.
            stride: MD steps from one stored frame to the next.
            velocities_unit: unit of the velocities, where the file does not say it.
            kind: format of the files; None: by their endings.
            elements: element of each type, where the files have numbers only.

        Raises:
            FormatError: a file is missing, or holds no trajectory.
            FrameError: the stride is not that of the file.
        """
        self._paths = [paths] if isinstance(paths, Path) else list(paths)
        for path in self._paths:
            if not path.exists() or path.is_dir():
                raise FormatError(f"{path}: there is no such trajectory.")
        self._options = (kind, velocities_unit, elements)
        self._stride = stride
        self._place = 0  # of the open file among `paths`
        self._shift = 0  # of the steps of the open file
        self._previous = -1
        self._durable = -1
        self._state = "new"
        self._begin(self._paths[0])
        first = self._ahead[0]
        names = self._paths[0].name
        if len(self._paths) > 1:
            names += f" and {len(self._paths) - 1} more"
        self._description = RunDescription(
            engine=f"replay of {names}",
            numbers=first.numbers,
            masses=atomic_masses[first.numbers],
            time_step=time_step,
            stride=stride,
        )

    @property
    def progress(self) -> float:
        """Part of all files that was read, from 0 to 1."""
        part = self._trajectory.fraction if self._state != "ended" else 1.0
        return (self._place + part) / len(self._paths)

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
        self._trajectory.close()

    def _begin(self, path: Path) -> None:
        """Open a file, and read the two frames that tell how it counts."""
        kind, unit, elements = self._options
        self._trajectory = Trajectory(
            path, kind, velocities_unit=unit, elements=elements
        )
        ahead = [self._trajectory.next_frame()]
        if ahead[0] is not None:
            ahead.append(self._trajectory.next_frame())
        self._ahead = [frame for frame in ahead if frame is not None]
        if not self._ahead:
            raise FormatError(f"{path} holds no frame. Is it the right file?")
        if self._ahead[0].velocities is None:
            raise FrameError(
                f"{path} has no velocities. Store them with the trajectory: they "
                "cannot be made up from positions that are stored rarely."
            )
        steps = [frame.step for frame in self._ahead]
        self._factor = _step_factor(steps, self._stride, path)

    def _next(self) -> Frame | None:
        frame = self._ahead.pop(0) if self._ahead else self._trajectory.next_frame()
        if frame is None:
            if self._place + 1 == len(self._paths):
                return None
            self._place += 1
            self._begin(self._paths[self._place])
            frame = self._ahead.pop(0)
            begin = self._previous + 2 * self._stride
            self._shift = begin - frame.step * self._factor
            self._previous = -1
        step = frame.step * self._factor + self._shift
        return frame if step == frame.step else dataclasses.replace(frame, step=step)


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
