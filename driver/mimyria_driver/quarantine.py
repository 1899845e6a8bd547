"""Quarantine: frames that no evaluator gets through, kept for people to look at.

One file for each, extended XYZ with cell, velocities and step, and the reason beside
them; a ring polymer is all its beads, one after the other. Nothing reads them again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from mimyria.errors import FrameError, MimyriaError
from mimyria.files import replace_file
from mimyria.frame import Frame
from mimyria.io import LabelledFrame
from mimyria.io.extxyz import format_extxyz
from mimyria.ringpolymer import bead_frames
from mimyria.tensors import Tensors

__all__ = ["QUARANTINE_NAME", "quarantine"]

QUARANTINE_NAME: Final = "quarantine"
_REASON: Final = "reason"
_LONGEST: Final = 500
_EVENT: Final = {"code": "quarantine"}

_log = logging.getLogger(__name__)


def quarantine(folder: Path, frame: Frame, reason: str) -> FrameError:
    """Put a frame away.

    Args:
        folder: the run folder.
        frame: as it came.
        reason: what happened, as a sentence without its full stop.

    Returns:
        The error to end the run with. It says so if the file cannot be written.
    """
    path = folder / QUARANTINE_NAME / f"step-{frame.step}.extxyz"
    # The comment line of a frame has no place for quotes and line ends.
    words = " ".join(reason.replace('"', "'").replace("\\", "/").split())[:_LONGEST]
    text = "".join(
        format_extxyz(LabelledFrame(each, Tensors(), {_REASON: words}))
        for each in bead_frames(frame)
    )
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        replace_file(path, text.encode())
        place = f"It is kept in {path}"
    except (MimyriaError, OSError) as error:
        place = f"It could not be kept ({error})"
    _log.warning("step %d: %s. %s", frame.step, reason, place, extra=_EVENT)
    return FrameError(
        f"step {frame.step}: {reason}. {place}; all frames before it are safe. Look at "
        "it: too close atoms, or a state that the model does not know, are usual. The "
        "same frame would end the run again."
    )
