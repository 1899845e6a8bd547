"""The evaluator process: loads the networks, then answers batches until told to stop.

It writes nothing to disk and holds nothing worth keeping: killed at any moment, it
costs time only. Errors that say something to the user travel back as one line; all
others end the process, since after a failed GPU call nothing can be trusted.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import EvaluatorError, MimyriaError
from mimyria.frame import Array, Frame
from mimyria.groups import Grouping
from mimyria.tensors import Tensors
from mimyria.tensorsources import Predictor, UncertainPredictor
from mimyria.uncertainty import Uncertainty
from mimyria_driver.evaluator import messages
from mimyria_driver.evaluator.loading import load_sources

__all__ = ["main"]

_WARM_UP = 3
"""Calls before the first answer: TorchScript takes other kernels in its first two."""


def main(descriptor: int) -> None:
    """Serve on an inherited socket until the other side closes it."""
    # Ctrl-C and a scheduler's SIGTERM are for the service, which closes the socket
    # when it has what it needs (and started this process with them held back).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    splitter = messages.Splitter()
    models: Mapping[str, Predictor] = {}
    grouping: Grouping | None = None
    warm = False
    while data := connection.recv(1 << 20):
        for kind, body in splitter.feed(data):
            try:
                if kind == messages.SETTINGS:
                    models, ready = load_sources(json.loads(body))
                    answer = messages.wrap(messages.READY, messages.pack_json(ready))
                elif kind == messages.ATOMS:
                    grouping = Grouping.from_dict(json.loads(body))
                    continue
                else:
                    frames = messages.unpack_batch(body)
                    if not warm:
                        for _ in range(_WARM_UP):
                            evaluate(models, frames[:1])
                        warm = True
                    samples = evaluate(models, frames, grouping)
                    answer = messages.wrap(
                        messages.RESULT, messages.pack_samples(samples)
                    )
            except MimyriaError as error:
                answer = messages.wrap(messages.ERROR, messages.pack_error(error))
            connection.sendall(answer)


def evaluate(
    models: Mapping[str, Predictor],
    frames: Sequence[Frame],
    grouping: Grouping | None = None,
) -> list[Sample]:
    """Currents of each frame, and what its groups of atoms add to them.

    Raises:
        EvaluatorError: a network gave a number that is not finite.
    """
    different = {id(model): model for model in models.values()}
    answers = {key: _predicted(model, frames) for key, model in different.items()}
    samples = []
    for index, frame in enumerate(frames):
        named: dict[str, Array] = {
            target: getattr(answers[id(model)][index][0], target)
            for target, model in models.items()
        }
        for target, value in named.items():
            finite = np.isfinite(value.reshape(len(value), -1)).all(axis=1)
            if not finite.all():
                raise EvaluatorError(
                    f"step {frame.step}: the {target} model gave numbers that are not "
                    f"finite, first for atom {int(np.argmin(finite))}. The frame is "
                    "probably far from what the model was trained for."
                )
        present = Tensors(**named)
        parts = None if grouping is None else contributions(frame, present, grouping)
        excess = 0.0
        for target, model in models.items():
            known = answers[id(model)][index][1]
            if target in known:
                excess = max(excess, known[target].excess)
        samples.append(Sample(currents(frame, present), parts, excess))
    return samples


def _predicted(
    model: Predictor, frames: Sequence[Frame]
) -> list[tuple[Tensors, Mapping[str, Uncertainty]]]:
    if isinstance(model, UncertainPredictor):
        return model.predict_uncertain(frames)
    return [(tensors, {}) for tensors in model.predict(frames)]


if __name__ == "__main__":
    main(int(sys.argv[1]))
