"""Choosing: which frames are labelled next, and which are held out for the test.

Test frames are drawn at random from all frames; what is chosen for training keeps away
from them, and from what was computed before. Frames of the pool stand behind those of
the trajectories and are chosen by the same rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Final

from mimyria.autotrain.settings import Settings
from mimyria.autotrain.trajectoryset import FileFacts, TrajectorySet
from mimyria.errors import SettingsError
from mimyria.frame import Array, Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.io.layouts import VELOCITY_UNIT
from mimyria.reference.campaign.planning import frame_digest
from mimyria.reference.picking import random_frames
from mimyria.reference.selection import select_frames
from mimyria.tensors import Tensors

__all__ = ["FRAMES", "Candidates", "choose_frames", "draw_test_frames", "pool_frames"]

FRAMES: Final = "frames.extxyz"
POOL: Final = "pool.extxyz"

_LEAST_SPARE: Final = 2
_SPARE: Final = 4  # one spare frame for so many


def with_spares(count: int) -> int:
    """How many candidates to take, so that failed ones can be replaced."""
    return count + max(_LEAST_SPARE, count // _SPARE)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What can be chosen from, and what is taken already.

    Attributes:
        frames: the trajectories.
        facts: of their files.
        interval: time between two frames, fs.
        pool: further frames.
        taken: what was computed before, test frames first, with their places.
        labelled: frames that are trained on already.
        scores: disagreement of the committee about each frame, those of the pool last;
            None before the first cycle.
    """

    frames: TrajectorySet
    facts: Sequence[FileFacts]
    interval: float
    pool: Sequence[Frame] = ()
    taken: Sequence[LabelledFrame] = ()
    labelled: Sequence[Frame] = field(default_factory=tuple)
    scores: Array | None = None

    @property
    def n_frames(self) -> int:
        """Frames of the trajectories."""
        return sum(each.n_frames for each in self.facts)

    def excluded(self, apart: float) -> set[int]:
        """Places that are taken or too near in time to one that is.

        Args:
            apart: fs.
        """
        places: set[int] = set()
        for each in self.taken:
            place = int(each.info.get("place", -1))
            if place >= 0:
                places.update(self.around(place, apart))
        digests = {frame_digest(each.frame) for each in self.taken}
        digests |= {frame_digest(frame) for frame in self.labelled}
        for number, frame in enumerate(self.pool):
            if frame_digest(frame) in digests:
                places.add(self.n_frames + number)
        return places

    def around(self, place: int, apart: float) -> range:
        """Places of the same file that are near in time to one, itself among them.

        Args:
            place: of a frame; one of the pool has no others around it.
            apart: fs.
        """
        if place >= self.n_frames:
            return range(place, place + 1)
        reach, end = int(apart / self.interval), 0
        for each in self.facts:
            begin, end = end, end + each.n_frames
            if place < end:
                break
        return range(max(begin, place - reach), min(end, place + reach + 1))

    def __iter__(self) -> Iterator[Frame]:
        """All frames, those of the pool last."""
        return chain(self.frames, self.pool)

    def named(self, place: int, frame: Frame, prefix: str) -> LabelledFrame:
        """A frame with its place, its origin and the name that it keeps."""
        starts = [0, *accumulate(each.n_frames for each in self.facts)]
        info: dict[str, Any] = {}
        if place >= self.n_frames:
            number = place - self.n_frames
            info = {"id": f"{prefix}-p{number:05d}", "place": -1}
            info["source"] = f"pool, frame {number}, step {frame.step}"
        else:
            file = max(k for k, start in enumerate(starts[:-1]) if start <= place)
            number = place - starts[file]
            info = {"id": f"{prefix}-t{file}-{number:06d}", "place": place}
            info["source"] = f"{self.facts[file].name}, frame {number}"
        if self.scores is not None:
            info["score"] = float(self.scores[place])
        return LabelledFrame(replace(frame, velocities=None), Tensors(), info)


def draw_test_frames(candidates: Candidates, settings: Settings) -> list[LabelledFrame]:
    """Frames of the trajectories at random, spare ones last.

    Raises:
        SettingsError: there are too few frames.
    """
    wanted = settings.autotrain
    needed = wanted.test_frames + wanted.first_frames
    if candidates.n_frames < needed:
        raise SettingsError(
            f"the trajectories have {candidates.n_frames} frames, but autotrain."
            f"test_frames and first_frames ask for {needed}."
        )
    count = with_spares(wanted.test_frames)
    places = random_frames(
        candidates.n_frames, count + len(candidates.labelled), wanted.seed
    )
    found = candidates.frames.at(places)
    # What is trained on tells nothing about other configurations.
    known = {frame_digest(frame) for frame in candidates.labelled}
    free = [place for place in places if frame_digest(found[place]) not in known]
    return [candidates.named(place, found[place], "test") for place in free[:count]]


def choose_frames(
    candidates: Candidates, settings: Settings, number: int
) -> list[LabelledFrame]:
    """Frames for one cycle, spare ones last; fewer, or none, if there are no others.

    Args:
        candidates: to choose from.
        settings: how.
        number: of the cycle, from 1.
    """
    wanted, rules = settings.autotrain, settings.choice
    count = wanted.first_frames if number == 1 else wanted.frames_per_cycle
    method = rules.first if candidates.scores is None else rules.later
    # Twice as many: those too near in time to better ones are left out below.
    selection = rules.selection(method, 2 * with_spares(count), wanted.seed + number)
    taken = [each.frame for each in candidates.taken]
    found = select_frames(
        candidates,
        selection,
        scores=None if method != "uncertain" else _scores(candidates),
        chosen=[*taken, *candidates.labelled],
        exclude=candidates.excluded(rules.apart),
    )
    chosen: list[tuple[int, Frame]] = []
    for place, frame in found:
        near = candidates.around(place, rules.apart)
        if not any(other in near for other, _ in chosen):
            chosen.append((place, frame))
    prefix = f"c{number:03d}"
    return [
        candidates.named(place, frame, prefix)
        for place, frame in chosen[: with_spares(count)]
    ]


def pool_frames(settings: Settings, known: set[int]) -> list[LabelledFrame]:
    """What the files of the pool hold now; a file that is not there yet is empty.

    Args:
        settings: names the files.
        known: atomic numbers of the system; frames with others are left out.
    """
    found = []
    for path in settings.files(settings.autotrain.pool):
        if not path.is_file():
            continue
        for each in read_extxyz(path, velocities_unit=VELOCITY_UNIT):
            if set(each.frame.numbers.tolist()) <= known:
                plain = replace(each.frame, velocities=None)
                found.append(LabelledFrame(plain, Tensors()))
    return found


def read_pool(path: Path) -> list[Frame]:
    """The pool as a step has kept it; empty without a file."""
    return [each.frame for each in read_extxyz(path)] if path.is_file() else []


def _scores(candidates: Candidates) -> list[float]:
    assert candidates.scores is not None
    found: list[float] = candidates.scores.tolist()
    return found
