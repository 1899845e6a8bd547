"""Checkpoints of a training: weights, their average, optimiser, learning curve.

    WORK/checkpoint.safetensors   arrays
    (its header)                  epoch, settings and digest of the data, as JSON

One file, written atomically and without pickle. Whoever continues from it gets exactly
the numbers of a training that was never interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from mimyria.errors import IncompatibleError, ModelError
from mimyria.files import replace_file
from mimyria.training.curve import CurveRow

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_VERSION = "2"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """State of a training after some epochs.

    Attributes:
        epoch: epochs that are done.
        tensors: every array of network, average and optimiser, by name.
        curve: rows of the learning curve so far.
        best: epoch and validation loss of the best weights; epoch 0 without any.
        identity: what must be equal for a training to go on: data, network, settings.
    """

    epoch: int
    tensors: dict[str, Tensor]
    curve: list[CurveRow]
    identity: Mapping[str, Any]
    best: tuple[int, float] = (0, math.inf)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    header = {
        "version": _VERSION,
        "epoch": str(checkpoint.epoch),
        "curve": json.dumps(checkpoint.curve),
        "identity": json.dumps(checkpoint.identity, sort_keys=True),
        "best": json.dumps(checkpoint.best),
    }
    tensors = {name: value.contiguous() for name, value in checkpoint.tensors.items()}
    replace_file(path, safetensors.torch.save(tensors, header))


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Read the checkpoint of a training with this identity.

    Raises:
        ModelError: there is no checkpoint, or it is damaged.
        IncompatibleError: it belongs to another training.
    """
    if not path.exists():
        raise ModelError(f"There is no checkpoint {path}. Start without --resume.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        epoch = int(header["epoch"])
        curve = [CurveRow(*row) for row in json.loads(header["curve"])]
        found = json.loads(header["identity"])
        best_epoch, best_loss = json.loads(header["best"])
    except (
        safetensors.SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        raise ModelError(
            f"The checkpoint {path} cannot be read ({error}). Start without --resume."
        ) from error
    wanted = json.loads(json.dumps(identity, sort_keys=True))
    different = _first_difference(found, wanted)
    if different is not None:
        raise IncompatibleError(
            f"The checkpoint {path} belongs to another training: {different}. "
            "Use the same data and settings, or start without --resume."
        )
    return Checkpoint(epoch, tensors, curve, found, (best_epoch, best_loss))


def _first_difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """The first setting in which two trainings differ, in words; None: in nothing."""
    for key in sorted({*there, *here}):
        before, now = there.get(key), here.get(key)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            return _first_difference(before, now)
        return f"{key} is {before} there and {now} here"
    return None
