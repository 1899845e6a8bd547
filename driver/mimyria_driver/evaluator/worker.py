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
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import EvaluatorError, MimyriaError, ModelError
from mimyria.frame import Array, Frame
from mimyria.groups import Grouping
from mimyria.targets import TARGETS
from mimyria.tensors import Tensors
from mimyria_driver.evaluator import messages

__all__ = ["main"]

_WARM_UP = 3
"""Calls before the first answer: TorchScript takes other kernels in its first two."""


class Model(Protocol):
    """What is asked of a network."""

    metadata: Any

    def predict(self, frames: Sequence[Frame]) -> list[Tensors]:
        """Tensors of all atoms, for each frame."""
        ...


Factory = Callable[[str, str, str], Model]
"""From target, path or name, and device to a model."""


def main(descriptor: int) -> None:
    """Serve on an inherited socket until the other side closes it."""
    # Ctrl-C and a scheduler's SIGTERM are for the service, which closes the socket
    # when it has what it needs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    splitter = messages.Splitter()
    models: dict[str, Model] = {}
    grouping: Grouping | None = None
    warm = False
    while data := connection.recv(1 << 20):
        for kind, body in splitter.feed(data):
            try:
                if kind == messages.SETTINGS:
                    models, ready = load(json.loads(body))
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


def load(settings: dict[str, Any]) -> tuple[dict[str, Model], dict[str, Any]]:
    """Load the networks that the settings name.

    A model that is named for both targets is loaded once and asked once.

    Returns:
        The models by target, and what the service has to know of them.
    """
    if settings["factory"] is None:
        factory, device = _torch_factory(settings["device"], settings["threads"])
    else:
        module, _, name = settings["factory"].partition(":")
        factory, device = getattr(import_module(module), name), "cpu"
    models: dict[str, Model] = {}
    ready: dict[str, Any] = {"device": device, "models": {}}
    named = {target: settings[target] for target in TARGETS if settings[target]}
    for target, name in named.items():
        known = [models[other] for other in models if named[other] == name]
        fitting = [model for model in known if target in _predicted(model)]
        model = fitting[0] if fitting else factory(target, name, device)
        document = model.metadata.as_dict()
        found = _predicted(model)
        if target not in found:
            raise ModelError(
                f"{name}: is a model of '{' and '.join(found)}', but models.{target} "
                f"wants one of '{target}'. Exchange the two."
            )
        models[target] = model
        ready["models"][target] = document
    return models, ready


def _predicted(model: Model) -> list[str]:
    """Names of the targets of a model."""
    return [target["name"] for target in model.metadata.as_dict()["targets"]]


def evaluate(
    models: dict[str, Model],
    frames: Sequence[Frame],
    grouping: Grouping | None = None,
) -> list[Sample]:
    """Currents of each frame, and what its groups of atoms add to them.

    Raises:
        EvaluatorError: a network gave a number that is not finite.
    """
    different = {id(model): model for model in models.values()}
    answers = {key: model.predict(frames) for key, model in different.items()}
    samples = []
    for index, frame in enumerate(frames):
        named: dict[str, Array] = {
            target: getattr(answers[id(model)][index], target)
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
        samples.append(Sample(currents(frame, present), parts))
    return samples


def _torch_factory(device: str, threads: int) -> tuple[Factory, str]:
    """Set torch up and choose the device; torch is imported here and nowhere else."""
    import torch

    from mimyria.models import load_model, resolve_device

    if threads:
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)

    def factory(_target: str, name: str, device: str) -> Model:
        return load_model(name, device=device)

    return factory, str(resolve_device(device))


if __name__ == "__main__":
    main(int(sys.argv[1]))
