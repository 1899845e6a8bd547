"""Learning: the process of one member of a committee, and of joining all of them.

The data of a cycle are one file: the test frames first, then all that is trained on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_masses

from mimyria.autotrain.judging import TestErrors, measure_test_errors
from mimyria.autotrain.sections import OBSERVABLES
from mimyria.autotrain.starting import network_of, read_start
from mimyria.autotrain.tasks import COMMITTEE, ERRORS, MEMBER
from mimyria.data.dataset import TensorDataset, read_dataset
from mimyria.files import replace_file
from mimyria.models import load_model, resolve_device
from mimyria.models.modelfile import Weights, member_weights
from mimyria.models.settings import NetworkSettings
from mimyria.targets import targets_by_name
from mimyria.training import (
    ModelText,
    Training,
    TrainingSettings,
    finish,
    join_members,
)
from mimyria.training.loop import CHECKPOINT

__all__ = ["join_committee", "train_member"]


def train_member(
    folder: Path, task: Mapping[str, Any], progress: Callable[[float], None]
) -> None:
    """Train one network to the end, from its checkpoint if there is one.

    Args:
        folder: of the task.
        task: `data`, `n_test`, `learned`, `seed`, `member`, `training` (the section),
            `steps`, `rate`, and `start`: a committee to begin with, or empty.
        progress: hears how far it is.
    """
    dataset, train, test = _parts(folder, task)
    network, settings = _settings(task, train)
    start = None
    if task["start"]:
        start = _start_weights(folder / task["start"], task, dataset, network)
    device = resolve_device(task["training"]["device"])
    training = Training(
        train, dataset.species, network, settings, device=device, start=start
    )
    if (folder / CHECKPOINT).exists():
        training.resume(folder)
    training.run(folder, lambda epoch, _: progress(epoch / settings.epochs))
    text = ModelText(f"member with seed {settings.seed}")
    finish(training, network, (train, test), text, folder / MEMBER)


def join_committee(folder: Path, task: Mapping[str, Any]) -> None:
    """Join the members, calibrate them, and measure what they say of the test frames.

    Args:
        folder: of the task; the members lie in folders beside it.
        task: `data`, `n_test`, `learned`, `members`: files, `name`, `description`.
    """
    dataset, _, test = _parts(folder, task)
    text = ModelText(task["name"], task["description"])
    members = [folder / name for name in task["members"]]
    join_members(members, dataset, text, folder / COMMITTEE, folder)
    found = _test_errors(folder / COMMITTEE, test)
    content = {name: errors.as_dict() for name, errors in found.items()}
    # Last of all: the task is done when this file is there.
    replace_file(folder / ERRORS, json.dumps(content, indent=1).encode())


def _parts(
    folder: Path, task: Mapping[str, Any]
) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """All frames, those to train on, and those of the test."""
    dataset = read_dataset(folder / task["data"], targets_by_name(task["learned"]))
    n_test = int(task["n_test"])
    test = dataset.subset(range(n_test))
    return dataset, dataset.subset(range(n_test, len(dataset))), test


def _settings(
    task: Mapping[str, Any], train: TensorDataset
) -> tuple[NetworkSettings, TrainingSettings]:
    wanted = task["training"]
    network = network_of(wanted, task["learned"])
    per_epoch = math.ceil(len(train) / wanted["batch_size"])
    settings = TrainingSettings(
        epochs=max(1, round(task["steps"] / per_epoch)),
        batch_size=wanted["batch_size"],
        peak_rate=task["rate"],
        weight_decay=wanted["weight_decay"],
        spectral_loss=wanted["spectral_loss"],
        checkpoint_every=wanted["checkpoint_every"],
        seed=task["seed"] + task["member"],
        split_seed=task["seed"],
        test_frames=task["n_test"],
    )
    return network, settings


def _start_weights(
    path: Path,
    task: Mapping[str, Any],
    dataset: TensorDataset,
    network: NetworkSettings,
) -> Weights:
    """Weights of this member in an earlier committee.

    Raises:
        IncompatibleError: that committee is another kind of network.
    """
    file = read_start(path, task["learned"], dataset.species, network)
    if file.metadata.members == 1:
        return file.weights
    # More members than before: the further ones begin with those of the first again.
    return member_weights(file.weights, task["member"] % file.metadata.members)


def _test_errors(path: Path, test: TensorDataset) -> dict[str, TestErrors]:
    """What the members say of the test frames, for each observable."""
    model = load_model(path)
    answers = [
        model.predict_members([frame], [charge])[0]
        for frame, charge in zip(test.frames, test.total_charges, strict=True)
    ]
    numbers = [
        frame.numbers[atoms]
        for frame, atoms in zip(test.frames, test.labelled, strict=True)
    ]
    found = {}
    for observable, target in OBSERVABLES.items():
        if target in test.columns:
            columns = test.columns[target]
            found[observable] = measure_test_errors(
                observable,
                [
                    np.ascontiguousarray(answer[:, atoms][..., columns])
                    for answer, atoms in zip(answers, test.labelled, strict=True)
                ],
                [
                    np.ascontiguousarray(labels[atoms][:, columns])
                    for labels, atoms in zip(test.labels, test.labelled, strict=True)
                ],
                numbers,
                [atomic_masses[each] for each in numbers],
            )
    return found
