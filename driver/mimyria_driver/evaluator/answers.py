"""Answers: what the sources say of frames, target by target, and how answers compare.

A source that gives two targets is asked once. It knows no device, no socket and no
state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimyria.frame import Array, Frame
from mimyria.tensors import Tensors
from mimyria.tensorsources import Predictor, UncertainPredictor
from mimyria.uncertainty import Uncertainty

__all__ = ["Answer", "Sources", "predict"]

Sources = Mapping[str, Predictor]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Tensors of one frame by target, and how uncertain they are."""

    named: Mapping[str, Array]
    excess: float

    @property
    def not_finite(self) -> str | None:
        """The first target, and the first atom, whose tensor is not finite."""
        for target, value in self.named.items():
            finite = np.isfinite(value.reshape(len(value), -1)).all(axis=1)
            if not finite.all():
                return (
                    f"the {target} model gave numbers that are not finite, first for "
                    f"atom {int(np.argmin(finite))}"
                )
        return None

    def equals(self, other: Answer, tolerance: float) -> bool:
        """Whether both are finite and the same, within a part of the largest number."""
        return all(
            bool(
                np.abs(value - other.named[target]).max(initial=0.0)
                <= tolerance * np.abs(value).max(initial=0.0)
            )
            for target, value in self.named.items()
        )

    def difference(self, other: Answer) -> str:
        """How far two of them are apart, for people; of the worst target."""
        apart = {
            target: float(np.abs(value - other.named[target]).max(initial=0.0))
            for target, value in self.named.items()
        }
        worst = max(apart, key=lambda target: apart[target])
        size = np.abs(self.named[worst]).max(initial=0.0)
        return f"{worst} off by {apart[worst]:.1e} of {size:.1e}"

    def copy(self) -> Answer:
        """The same numbers, which nobody else can change."""
        named = {target: value.copy() for target, value in self.named.items()}
        return Answer(named, self.excess)


def predict(sources: Sources, frames: Sequence[Frame]) -> list[Answer]:
    """What each source says of each frame; one that gives two targets is asked once."""
    different = {id(source): source for source in sources.values()}
    said = {key: _predicted(source, frames) for key, source in different.items()}
    answers = []
    for index in range(len(frames)):
        named: dict[str, Array] = {}
        excess = 0.0
        for target, source in sources.items():
            tensors, known = said[id(source)][index]
            named[target] = getattr(tensors, target)
            if target in known:
                excess = max(excess, known[target].excess)
        answers.append(Answer(named, excess))
    return answers


def _predicted(
    source: Predictor, frames: Sequence[Frame]
) -> list[tuple[Tensors, Mapping[str, Uncertainty]]]:
    if isinstance(source, UncertainPredictor):
        return source.predict_uncertain(frames)
    return [(tensors, {}) for tensors in source.predict(frames)]
