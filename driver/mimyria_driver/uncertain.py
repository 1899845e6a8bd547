"""Uncertain frames: counted, said once, and the worst of them kept for labelling.

A committee of networks says of each frame how far its members disagree. Frames beyond
the limit count like all others for the spectra; they are what to compute reference
tensors for. The file is replaced as a whole, so that a crash leaves the last one.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import MimyriaError
from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.tensors import Tensors
from mimyria_driver.records import live_records

__all__ = ["UNCERTAIN_NAME", "UncertainFrames"]

UNCERTAIN_NAME: Final = "uncertain.extxyz"

_APART: Final = 500.0
"""Least time between two frames that are kept, fs: closer ones teach the same."""
_KEY: Final = "uncertainty"

_log = logging.getLogger(__name__)


class UncertainFrames:
    """The uncertain frames of one run.

    Attributes:
        count: uncertain frames in the series.
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
        self.worst = 0.0
        self._path = folder / UNCERTAIN_NAME
        self._limit = limit
        self._most = most
        self._apart = max(1, round(_APART / time_step))
        self._kept: dict[int, tuple[float, Frame]] = {}
        self._changed = False
        if most and self._path.exists():
            self._read()

    def recount(self, journal: Path) -> None:
        """Count those of a journal: of a continued run, or after a rollback."""
        excess = np.concatenate(
            [np.zeros(0), *(chunk["excess"] for chunk in live_records(journal))]
        )
        self.count = int((excess > self._limit).sum())
        self.worst = float(excess.max(initial=0.0))

    def look(self, frame: Frame, excess: float) -> None:
        """Count a frame, and keep it if it is among the worst."""
        self.worst = max(self.worst, excess)
        if excess <= self._limit:
            return
        if not self.count:
            _log.warning(
                "step %d is unlike what the networks were trained on: they disagree "
                "about an atom %.1f times as much as about any they know "
                "(models.uncertain_above is %g); they are counted and kept in %s",
                frame.step,
                excess,
                self._limit,
                self._path,
            )
        self.count += 1
        self._keep(frame, excess)

    def write(self) -> None:
        """Publish the kept frames, if there are new ones; never ends a run."""
        if not self._changed:
            return
        frames = [
            LabelledFrame(frame, Tensors(), {_KEY: excess})
            for _, (excess, frame) in sorted(self._kept.items())
        ]
        try:
            write_extxyz(self._path, frames)
        except MimyriaError as error:
            _log.warning("%s", error)
        self._changed = False

    def _keep(self, frame: Frame, excess: float) -> None:
        if not self._most:
            return
        rivals = [step for step in self._kept if abs(step - frame.step) < self._apart]
        if not rivals and len(self._kept) >= self._most:
            rivals = [min(self._kept, key=lambda step: self._kept[step][0])]
        if any(self._kept[step][0] >= excess for step in rivals):
            return
        for step in rivals:
            del self._kept[step]
        self._kept[frame.step] = (excess, frame)
        self._changed = True

    def _read(self) -> None:
        try:
            for labelled in read_extxyz(self._path):
                excess = float(labelled.info[_KEY])
                self._kept[labelled.frame.step] = (excess, labelled.frame)
        except (MimyriaError, KeyError, TypeError, ValueError) as error:
            aside = self._path.with_suffix(".unreadable")
            _log.warning(
                "%s cannot be read (%s) and becomes %s", self._path, error, aside.name
            )
            self._kept = {}
            self._path.replace(aside)
