"""Uncertain frames: counted, said rarely, and the worst of them kept for labelling.

A committee of networks says of each frame how far its members disagree. Frames beyond
the limit count like all others for the spectra; they are what to compute reference
tensors for. The file is replaced as a whole whenever it changes, so that a crash leaves
the last one; whoever sees to it that a frame is looked at before it gets its record
loses none, since a frame without a record arrives again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FormatError, MimyriaError, OutputError
from mimyria.files import replace_file
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz
from mimyria.io.extxyz import format_extxyz
from mimyria.tensors import Tensors
from mimyria_driver.reading import live_records

__all__ = ["UNCERTAIN_NAME", "UncertainFrames", "join_uncertain"]

UNCERTAIN_NAME: Final = "uncertain.extxyz"

_APART: Final = 500.0
"""Least time between two frames that are kept, fs: closer ones teach the same."""
_KEY: Final = "uncertainty"

_log = logging.getLogger(__name__)


class UncertainFrames:
    """The uncertain frames of one run.

    Attributes:
        count: uncertain frames in the series.
        last: step of the latest of them, −1: none.
        worst: largest uncertainty in the series; 0: none is known.
    """

    def __init__(self, folder: Path, limit: float, most: int, time_step: float) -> None:
        """Begin with what an earlier part of the run has kept.

        Args:
            folder: the run folder.
            limit: excess from which a frame counts as uncertain.
            most: frames to keep.
            time_step: fs.
        """
        self.count = 0
        self.last = -1
        self.worst = 0.0
        self._path = folder / UNCERTAIN_NAME
        self._limit = limit
        self._most = most
        self._worst = _Worst(most, time_step)
        self._changed = False
        self._failed = False
        if most and self._path.exists():
            self._read()

    def recount(self, journal: Path) -> None:
        """Count those of a journal: of a continued run, or after a rollback."""
        self.count, self.last, self.worst = 0, -1, 0.0
        for chunk in live_records(journal):
            above = np.flatnonzero(chunk["excess"] > self._limit)
            self.count += len(above)
            if len(above):
                self.last = int(chunk["step"][above[-1]])
            self.worst = max(self.worst, float(chunk["excess"].max(initial=0.0)))

    def look(
        self, frame: Frame, excess: float, confirm: Callable[[], None] | None = None
    ) -> None:
        """Count a frame, and keep it, durably, if it is among the worst.

        Call it before the frame gets its record: it may be called again for a frame
        that was interrupted between the two, and keeps it once.

        Args:
            frame: as it came.
            excess: its uncertainty.
            confirm: as in `write`.
        """
        self.worst = max(self.worst, excess)
        if excess <= self._limit:
            return
        self.count += 1
        self.last = frame.step
        self._say(excess)
        self._changed |= self._worst.offer(frame, excess)
        self.write(confirm)

    def write(self, confirm: Callable[[], None] | None = None) -> None:
        """Publish the kept frames, if there are new ones; no bad disk ends a run here.

        Args:
            confirm: called before they take the place of the last ones; raises if the
                folder is another's.
        """
        if not self._changed:
            return
        try:
            replace_file(self._path, self._worst.text(), confirm)
        except OutputError as error:
            # It is tried again with every result; that it fails is said once.
            if not self._failed:
                _log.warning("%s", error)
            self._failed = True
        else:
            self._changed = self._failed = False

    def _say(self, excess: float) -> None:
        """The first, the tenth, the hundredth … uncertain frame."""
        if self.count == 1:
            place = f"kept in {self._path}" if self._most else "not kept"
            _log.warning(
                "step %d is unlike what the networks were trained on: they disagree "
                "about an atom %.3g times as much as about any they know "
                "(models.uncertain_above is %g); such frames are counted and %s",
                self.last,
                excess,
                self._limit,
                place,
                extra={"code": "uncertain_frame"},
            )
        elif self.count == 10 ** (len(str(self.count)) - 1):
            _log.warning(
                "%d frames so far are unlike what the networks were trained on, the "
                "latest is step %d; the largest disagreement is %.3g times what they "
                "know",
                self.count,
                self.last,
                self.worst,
                extra={"code": "uncertain_frame"},
            )

    def _read(self) -> None:
        try:
            for frame, excess in _stored(self._path):
                self._worst.put(frame, excess)
        except MimyriaError as error:
            aside = self._path.with_suffix(".unreadable")
            _log.warning(
                "%s cannot be read (%s) and becomes %s", self._path, error, aside.name
            )
            self._worst.clear()
            self._path.replace(aside)


def join_uncertain(
    runs: Iterable[tuple[Path, int, int]], target: Path, most: int, time_step: float
) -> None:
    """Of the frames that several runs have kept, keep those that one run would.

    Nothing is written where no run has kept any.

    Args:
        runs: of each, in order, the run folder, the step of the first frame that is
            taken from it, and what is added to its steps.
        target: the new run folder.
        most: frames to keep, or more if one of the runs has.
        time_step: fs.

    Raises:
        FormatError: what a run has kept cannot be read.
        OutputError: the file cannot be written.
    """
    found = [
        [
            (replace(frame, step=frame.step + shift), excess)
            for frame, excess in _stored(folder / UNCERTAIN_NAME)
            if frame.step >= first
        ]
        for folder, first, shift in runs
        if (folder / UNCERTAIN_NAME).exists()
    ]
    if not any(found):
        return
    worst = _Worst(max(most, *map(len, found)), time_step)
    for frame, excess in (each for kept in found for each in kept):
        worst.offer(frame, excess)
    replace_file(target / UNCERTAIN_NAME, worst.text())


class _Worst:
    """The most uncertain of the frames that came, no two of them close in time."""

    def __init__(self, most: int, time_step: float) -> None:
        self._most = most
        self._apart = max(1, round(_APART / time_step))
        # The text of each frame is made once: the whole file is written often.
        self._kept: dict[int, tuple[float, bytes]] = {}

    def offer(self, frame: Frame, excess: float) -> bool:
        """Keep a frame if it is worse than its rivals; whether it was."""
        if not self._most:
            return False
        rivals = [step for step in self._kept if abs(step - frame.step) < self._apart]
        if not rivals and len(self._kept) >= self._most:
            rivals = [min(self._kept, key=lambda step: self._kept[step][0])]
        if any(self._kept[step][0] >= excess for step in rivals):
            return False
        for step in rivals:
            del self._kept[step]
        self.put(frame, excess)
        return True

    def put(self, frame: Frame, excess: float) -> None:
        """Keep a frame in any case."""
        labelled = LabelledFrame(frame, Tensors(), {_KEY: excess})
        self._kept[frame.step] = (excess, format_extxyz(labelled).encode())

    def clear(self) -> None:
        """Keep none."""
        self._kept.clear()

    def text(self) -> bytes:
        """What stands in the file: all of them in the order of time."""
        return b"".join(block for _, (_, block) in sorted(self._kept.items()))


def _stored(path: Path) -> Iterator[tuple[Frame, float]]:
    """The frames of a file and how uncertain they are.

    Raises:
        FormatError: it is not a file of such frames.
    """
    try:
        for labelled in read_extxyz(path):
            yield labelled.frame, float(labelled.info[_KEY])
    except (MimyriaError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path}: is no file of uncertain frames ({error}). Move it away to go on "
            "without them."
        ) from error
