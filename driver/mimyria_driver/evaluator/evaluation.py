"""Evaluation: samples of frames from networks that may run short of memory or fail.

Too little memory: the same frames in smaller pieces, in the same process. Numbers that
are not finite: once more, and a second opinion on the CPU; a number that is not finite
leaves this module in no case. Frames that were chosen, or whose sample is unusual: once
more, and the same numbers. It knows no socket, and torch only if it is there.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import DeviceError
from mimyria.frame import Frame
from mimyria.groups import Grouping
from mimyria.ringpolymer import bead_frames, mean_sample
from mimyria.tensors import Tensors
from mimyria.tensorsources import ExamplePredictor
from mimyria_driver.evaluator.answers import Answer, Sources, predict
from mimyria_driver.evaluator.canary import WARM_UP
from mimyria_driver.evaluator.faults import MEMORY, fault_of, wanted_memory
from mimyria_driver.evaluator.rangecheck import RangeCheck

__all__ = ["Evaluation", "NotFinite", "NotRepeated"]

_TOLERANCE: Final = 1e-4
"""Between two answers that need not be equal to the bit, relative to the largest
component of a frame."""


class NotFinite(Exception):  # noqa: N818 - a frame is wrong, not the program
    """A frame without a sample.

    Attributes:
        before: samples of the frames before it.
        reason: what was found, as a sentence without its full stop.
    """

    def __init__(self, before: list[Sample], reason: str) -> None:
        """Keep both."""
        super().__init__(reason)
        self.before = before
        self.reason = reason


class NotRepeated(Exception):  # noqa: N818 - the device is wrong, not the program
    """The same frames gave other numbers when they were evaluated once more."""


class Evaluation:
    """The sources of one process.

    Attributes:
        grouping: groups of the atoms, if their parts are kept.
    """

    def __init__(
        self,
        sources: Sources,
        device: str,
        say: Callable[[str], None],
        second_opinion: Callable[[], Sources] | None = None,
        *,
        unusual_above: float = 0.0,
        say_unusual: Callable[[int, float], None] = lambda step, size: None,
    ) -> None:
        """Take the sources.

        Args:
            sources: by target.
            device: where they compute.
            say: takes a note for people.
            second_opinion: gives the same sources on the CPU, where `device` is not
                that; the same ones are asked again if left out.
            unusual_above: samples that are so many times as large as those before are
                evaluated once more; 0: none.
            say_unusual: takes step and size of those that came out the same.
        """
        self.grouping: Grouping | None = None
        self._sources = sources
        self._device = device
        self._say = say
        self._second_opinion = second_opinion
        self._others: Sources | None = None
        self._most = 1 << 30  # frames that fit into the memory at once
        self._range = RangeCheck(unusual_above)
        self._say_unusual = say_unusual
        self._calls: Counter[int] = Counter()  # by the number of frames
        ours = [isinstance(each, ExamplePredictor) for each in sources.values()]
        self._exact = all(ours)

    def warm_up(self, frames: Sequence[Frame], times: int) -> None:
        """Compile what depends on the size of frames."""
        copies = [copy for frame in frames for copy in bead_frames(frame)]
        for _ in range(times):
            self._predict_in_pieces(copies)

    def samples(self, frames: Sequence[Frame], *, twice: bool = False) -> list[Sample]:
        """Currents of each frame, and what its groups of atoms add to them.

        Args:
            frames: a batch.
            twice: whether to evaluate it once more, and compare.

        Raises:
            NotFinite: a source gave numbers that are not finite, twice.
            NotRepeated: once more gave other numbers.
            DeviceError: the memory of the device is too small for one frame.
        """
        copies = [copy for frame in frames for copy in bead_frames(frame)]
        answers = self._finite_answers(frames, copies)
        samples = self._sampled(frames, answers)
        sizes = [self._range.look(sample.currents) for sample in samples]
        if twice or any(sizes):
            self._repeat(copies, answers)
        for frame, size in zip(frames, sizes, strict=True):
            if size:
                self._say_unusual(frame.step, size)
        return samples

    def _finite_answers(
        self, frames: Sequence[Frame], copies: Sequence[Frame]
    ) -> list[Answer]:
        """Answers to all copies; a frame is as bad as the worst of its beads."""
        answers = self._predict_in_pieces(copies)
        wrong = [index for index, answer in enumerate(answers) if answer.not_finite]
        if not wrong:
            return answers
        again = self._predict_in_pieces(copies)
        for index in wrong:
            reason = self._doubt(copies[index], answers[index], again[index])
            if reason:
                place, bead = divmod(index, frames[0].n_beads)
                before = self._sampled(frames[:place], again)
                where = f"bead {bead}: " if frames[0].beads is not None else ""
                raise NotFinite(before, where + reason)
        return again

    def _repeat(self, frames: Sequence[Frame], answers: Sequence[Answer]) -> None:
        """Evaluate the same batch once more; the numbers that count are the first."""
        # A source may give the same array each time, with other numbers in it.
        first = [answer.copy() for answer in answers]
        # TorchScript has other kernels in its first calls, others round differently.
        settled = self._exact and self._calls[len(frames)] > WARM_UP
        most = self._most
        again = self._predict_in_pieces(frames)
        if self._most < most:
            return  # memory became short: other pieces, other last digits
        for frame, one, other in zip(frames, first, again, strict=True):
            if not one.equals(other, 0.0 if settled else _TOLERANCE):
                raise NotRepeated(
                    f"step {frame.step} gave other numbers when it was evaluated once "
                    f"more ({one.difference(other)})"
                )

    def _doubt(self, frame: Frame, first: Answer, again: Answer) -> str:
        """Why a frame whose first answer was not finite gets no sample; else empty."""
        other = self._ask_the_others(frame)
        whom = "a third time" if self._second_opinion is None else "on the CPU"
        finite = f"{whom} {'not ' * bool(other.not_finite)}finite"
        if again.not_finite:
            return f"{again.not_finite}, and again when asked again ({finite})"
        tolerance = _TOLERANCE if self._second_opinion else 0.0
        if other.not_finite or not again.equals(other, tolerance):
            return f"{first.not_finite}; asked again, it gave other numbers ({finite})"
        self._say(
            f"step {frame.step}: {first.not_finite}; asked again, it gave finite ones "
            "and a second opinion agrees. They count; look at the health of the device"
        )
        return ""

    def _ask_the_others(self, frame: Frame) -> Answer:
        if self._others is None:
            give = self._second_opinion
            self._others = self._sources if give is None else give()
        return predict(self._others, [frame])[0]

    def _predict_in_pieces(self, frames: Sequence[Frame]) -> list[Answer]:
        tried = False
        while True:
            size = min(self._most, len(frames))
            try:
                answers = [
                    answer
                    for start in range(0, len(frames), size)
                    for answer in predict(self._sources, frames[start : start + size])
                ]
                self._calls[len(frames)] += 1
                return answers
            except Exception as error:
                if fault_of(error) != MEMORY:
                    raise
                wanted = wanted_memory(error)
            # Only here: the traceback had held what takes the memory.
            _release_memory()
            if size == 1 and tried:
                raise DeviceError(self._too_large(frames[0], wanted))
            tried = size == 1
            self._halve(size, wanted)

    def _halve(self, size: int, wanted: str) -> None:
        self._most = max(1, size // 2)
        self._say(
            f"{self._device} has too little memory for {size} frame(s) at once "
            f"({wanted} more wanted, {_free_memory(self._device)}); trying "
            f"{self._most} at once from now on"
        )

    def _too_large(self, frame: Frame, wanted: str) -> str:
        return (
            f"{self._device} has too little memory for one frame of {frame.n_atoms} "
            f"atoms: {wanted} more wanted, {_free_memory(self._device)}. End other "
            "programs there, or take a device with more memory; all frames before are "
            "safe."
        )

    def _sampled(
        self, frames: Sequence[Frame], answers: Sequence[Answer]
    ) -> list[Sample]:
        samples: list[Sample] = []
        rest = iter(answers)
        for frame in frames:
            each = [self._of_one(bead, next(rest)) for bead in bead_frames(frame)]
            sample = mean_sample(frame, each, self.grouping)
            if not _is_finite(sample):
                raise NotFinite(samples, "the sum over its atoms is not finite")
            samples.append(sample)
        return samples

    def _of_one(self, frame: Frame, answer: Answer) -> Sample:
        present = Tensors(**answer.named)
        parts = None
        if self.grouping is not None:
            parts = contributions(frame, present, self.grouping)
        return Sample(currents(frame, present), parts, answer.excess)


def _is_finite(sample: Sample) -> bool:
    parts = (sample.currents.dipole, sample.currents.polarizability)
    return all(part is None or bool(np.isfinite(part).all()) for part in parts)


def _release_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _free_memory(device: str) -> str:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda"):
        return "free memory unknown"
    free, total = torch.cuda.mem_get_info(device)
    return f"{free >> 20} MiB of {total >> 20} MiB free"
