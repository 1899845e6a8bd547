"""Canary: known frames whose answers must stay the same while a process lives.

Of all errors of a GPU that change numbers, about one in a hundred gives NaN; the others
look like results. A model of ours brings a frame with its answer: that is asked for
again and again, and has to come out to the bit as it did before the first frame, and
near the stored answer. Another source brings none: the first frame that it was given
stands in, and its answer may scatter in the last digits.

Source: docs/operation.md, "The device".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.errors import ModelError
from mimyria.frame import Array, Frame
from mimyria.tensorsources import ExamplePredictor, Predictor

__all__ = ["WARM_UP", "Canary", "columns_of_source"]

WARM_UP: Final = 3
"""Calls before the one that counts: TorchScript has other kernels in its first two."""

_TOLERANCE: Final = 1e-4
"""Of sources that are no models of ours, relative to the largest component."""
_REPLICA: Final = -1
"""Neighbour lists of the run's own frames are not disturbed."""


class Canary:
    """What the sources of one process answer to known frames."""

    def __init__(self, sources: Mapping[str, Predictor]) -> None:
        """Ask for the examples until nothing is compiled any more.

        Raises:
            ModelError: an answer is not the stored one.
        """
        different = {id(source): source for source in sources.values()}
        self._own: list[tuple[ExamplePredictor, Array]] = []
        self._foreign: list[Predictor] = []
        self._frame: Frame | None = None
        self._answers: list[Array] = []
        for source in different.values():
            answer = None
            if isinstance(source, ExamplePredictor):
                for _ in range(WARM_UP + 1):
                    answer = source.examine()
            if answer is None:
                self._foreign.append(source)
            else:
                assert isinstance(source, ExamplePredictor)
                self._own.append((source, answer))

    @property
    def digest(self) -> str:
        """Of the first answers to the stored examples, bit for bit."""
        digest = hashlib.sha256()
        for _, answer in self._own:
            digest.update(answer.tobytes())
        return digest.hexdigest()

    def begin(self, frames: Sequence[Frame]) -> None:
        """Take the first frame of the run for sources without an example."""
        if self._frame is not None or not self._foreign:
            return
        self._frame = replace(frames[0], replica=_REPLICA)
        self._answers = [self._ask(source) for source in self._foreign]

    def check(self) -> str:
        """Ask again.

        Returns:
            What is not as before; empty if everything is.
        """
        for source, first in self._own:
            try:
                answer = source.examine()
            except ModelError as error:
                return str(error)
            if answer is None or not np.array_equal(answer, first):
                found = "another number" if answer is None else _largest(answer, first)
                return (
                    f"the stored example of {source.metadata.name} gave another answer "
                    f"than when this process began ({found})"
                )
        return self._check_foreign()

    def _check_foreign(self) -> str:
        if self._frame is None:
            return ""
        for source, first in zip(self._foreign, self._answers, strict=True):
            answer = self._ask(source)
            size = np.abs(first).max()
            if not np.abs(answer - first).max() <= _TOLERANCE * size:
                return (
                    f"{source.metadata.name} gave another answer to step "
                    f"{self._frame.step} than before ({_largest(answer, first)})"
                )
        return ""

    def _ask(self, source: Predictor) -> Array:
        assert self._frame is not None
        return columns_of_source(source, self._frame)


def columns_of_source(source: Predictor, frame: Frame) -> Array:
    """All components of all targets of a source for one frame, side by side."""
    (tensors,) = source.predict([frame])
    return tensors.columns(source.metadata.targets)


def _largest(answer: Array, first: Array) -> str:
    return f"off by {np.abs(answer - first).max():.1e} of {np.abs(first).max():.1e}"
