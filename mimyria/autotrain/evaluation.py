"""Evaluation: what the members said of the frames of one file, as it was stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array
from mimyria.reference.npz import unpacked

__all__ = [
    "CURRENT",
    "INDEX",
    "Evaluation",
    "evaluation_files",
    "read_evaluation",
    "segments_of",
]

INDEX: Final = "evaluation.json"
CURRENT: Final = {"apt": "dipole", "pgt": "polarizability"}
"""What a tensor makes of velocities, as `currents.Currents` names it."""


def segments_of(steps: NDArray[Any], stride: int) -> Iterator[slice]:
    """Stretches of frames at equal intervals, between gaps.

    Args:
        steps: (n,) — MD steps.
        stride: steps of an interval.
    """
    breaks = np.flatnonzero(np.diff(steps) != stride) + 1
    start = 0
    for end in [*breaks.tolist(), len(steps)]:
        yield slice(start, end)
        start = end


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What was found for one file.

    Attributes:
        steps: (n_frames,) — MD steps.
        currents: by the name of the target, (n_frames, n_members, 3 or 6) in the units
            of `currents.Currents`.
        scores: by the name of the target, (n_frames,), see `committee_score`.
    """

    steps: NDArray[Any]
    currents: Mapping[str, Array]
    scores: Mapping[str, Array]

    def segments(self, stride: int) -> Iterator[slice]:
        """Stretches of frames at equal intervals, between gaps."""
        return segments_of(self.steps, stride)


def evaluation_files(folder: Path) -> list[Path]:
    """The files of an evaluation that is done."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return [folder / INDEX, *(folder / name for name in index["chunks"])]


def read_evaluation(folder: Path) -> Evaluation:
    """All chunks of one file."""
    chunks = [unpacked(path) for path in evaluation_files(folder)[1:]]
    joined = {
        name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]
    }
    currents = {t: joined[name] for t, name in CURRENT.items() if name in joined}
    scores = {
        name.removeprefix("score_"): values
        for name, values in joined.items()
        if name.startswith("score_")
    }
    return Evaluation(joined["steps"], currents, scores)
