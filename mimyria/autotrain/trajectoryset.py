"""The trajectory set: stored frames with velocities, counted through all files.

A frame is named by its place, its number in the set from zero. What is known of the set
is found out once, by reading all of it, and written down; later a file that has changed
is noticed by its size, its beginning and its end.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_masses

from mimyria.autotrain.evaluation import segments_of
from mimyria.errors import FormatError, FrameError, IncompatibleError, UnitError
from mimyria.frame import Frame
from mimyria.io.trajectory import Trajectory, parse_elements
from mimyria.kinetics import kinetic_temperature

__all__ = ["FileFacts", "TrajectorySet", "quick_digest", "survey"]

_SAME_VOLUME: Final = 1e-3
_ENDS: Final = 1 << 20  # bytes at either end of a file that its quick digest is of

_SETTING_OF: Final = {
    "velocities_unit": "velocities_unit in the section [dynamics]",
    "(elements,": "types in the section [autotrain]",
}
"""Where a user gives what a reader of files asks for as an argument."""


@dataclass(frozen=True, slots=True)
class TrajectorySet:
    """Files of one system, read in their order.

    Attributes:
        paths: the files.
        types: elements of the types of a LAMMPS dump.
        velocities_unit: where the files do not say it.
    """

    paths: tuple[Path, ...]
    types: tuple[str, ...] = ()
    velocities_unit: str = ""

    def of_file(self, number: int) -> Iterator[Frame]:
        """The frames of one file.

        Raises:
            FrameError: a frame has no velocities.
            UnitError: nobody says their unit.
        """
        trajectory = Trajectory(
            self.paths[number],
            velocities_unit=self.velocities_unit or None,
            elements=parse_elements(self.types),
        )
        for place, frame in enumerate(_asking_for_settings(trajectory)):
            if frame.velocities is None:
                raise FrameError(
                    f"{self.paths[number]}, frame {place}: there are no velocities, "
                    "and spectra need them. Write them into the trajectory."
                )
            yield frame

    def __iter__(self) -> Iterator[Frame]:
        """All frames."""
        for number in range(len(self.paths)):
            yield from self.of_file(number)

    def at(self, places: Collection[int]) -> dict[int, Frame]:
        """Some frames by their places, in one reading."""
        wanted = set(places)
        last = max(wanted, default=-1)
        found = {}
        for place, frame in enumerate(self):
            if place in wanted:
                found[place] = frame
            if place >= last:
                break
        return found


def _asking_for_settings(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames; an error that asks for an argument names the setting as well."""
    try:
        yield from frames
    except (UnitError, FormatError) as error:
        for argument, place in _SETTING_OF.items():
            if argument in str(error):
                raise type(error)(
                    f"{error} In the settings of autotrain this is {place}."
                ) from error
        raise


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of one file.

    Attributes:
        name: of the file.
        digest: see `quick_digest`.
        n_frames: frames in it.
        first: number of its first step.
        stride: steps between two frames, the most frequent difference.
        gaps: how often the difference is another one.
        temperature: mean kinetic temperature, K.
        volume: mean, Å³.
        longest: frames of the longest stretch without a gap; 0: not known, of a run
            that an older program began.
    """

    name: str
    digest: str
    n_frames: int
    first: int
    stride: int
    gaps: int
    temperature: float
    volume: float
    longest: int = 0


def quick_digest(path: Path) -> str:
    """SHA-256 of the size of a file, its beginning and its end."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\n".encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()


def survey(frames: TrajectorySet) -> tuple[list[FileFacts], list[int]]:
    """Read all files; what each holds, and the atomic numbers of the system.

    Raises:
        FrameError: a file has fewer than two frames, or one without velocities or cell.
        IncompatibleError: the files are of different systems.
    """
    facts, numbers = [], np.zeros(0, np.int64)
    for number, path in enumerate(frames.paths):
        steps, temperatures, volumes = [], [], []
        for frame in frames.of_file(number):
            if not len(numbers):
                numbers = frame.numbers
            if not np.array_equal(frame.numbers, numbers):
                raise IncompatibleError(
                    f"{path}, step {frame.step}: the atoms are others than those of "
                    f"the first frame of {frames.paths[0].name}. Run autotrain for "
                    "each system."
                )
            if not frame.volume > 0:
                raise FrameError(
                    f"{path}, step {frame.step}: there is no cell, and spectra are per "
                    "volume. Give a molecule or a droplet a cell of vacuum, as "
                    'Lattice="20 0 0 0 20 0 0 0 20" with pbc="F F F".'
                )
            steps.append(frame.step)
            assert frame.velocities is not None  # `of_file` sees to that
            masses = atomic_masses[frame.numbers]
            temperatures.append(kinetic_temperature(masses, frame.velocities))
            volumes.append(frame.volume)
        if len(steps) < 2:
            raise FrameError(
                f"{path} has {len(steps)} frames; a spectrum needs a trajectory."
            )
        stride, count = Counter(np.diff(steps).tolist()).most_common(1)[0]
        stretches = segments_of(np.array(steps), stride)
        facts.append(
            FileFacts(
                path.name,
                quick_digest(path),
                len(steps),
                steps[0],
                int(stride),
                len(steps) - 1 - count,
                float(np.mean(temperatures)),
                float(np.mean(volumes)),
                max(each.stop - each.start for each in stretches),
            )
        )
    _require_one_system(facts)
    return facts, numbers.tolist()


def _require_one_system(facts: Sequence[FileFacts]) -> None:
    first = facts[0]
    for each in facts:
        if each.stride <= 0:
            raise FrameError(
                f"{each.name}: steps must rise from frame to frame, but their most "
                f"frequent difference is {each.stride}."
            )
        if each.stride != first.stride:
            raise IncompatibleError(
                f"{each.name} has a frame every {each.stride} steps and {first.name} "
                f"every {first.stride}: give files of equal stride."
            )
        if abs(each.volume - first.volume) > _SAME_VOLUME * first.volume:
            raise IncompatibleError(
                f"{each.name} has a cell of {each.volume:.1f} Å³ and {first.name} of "
                f"{first.volume:.1f} Å³: give files of one density."
            )
