"""From a finished training to a model file, with test errors inside."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import e3nn
import numpy as np
import torch

import mimyria
from mimyria.data.dataset import TensorDataset
from mimyria.frame import Array
from mimyria.models.metadata import ModelMetadata
from mimyria.models.model import TensorModel, resolve_device
from mimyria.models.modelfile import (
    Example,
    ModelFile,
    network_from_file,
    save_model,
)
from mimyria.models.settings import NetworkSettings
from mimyria.training.loop import Progress, Training
from mimyria.training.metrics import prediction_errors
from mimyria.training.samples import dataset_scaling
from mimyria.training.settings import TrainingSettings

__all__ = ["ModelText", "cross_validate", "finish", "predict_with", "split_frames"]


@dataclass(frozen=True, slots=True)
class ModelText:
    """What only a person can say about a model.

    Attributes:
        name: short name.
        description: one paragraph.
        limitations: what the model is not for, one sentence each.
    """

    name: str
    description: str = ""
    limitations: tuple[str, ...] = ()


def _metadata(
    training: Training,
    network_settings: NetworkSettings,
    parts: tuple[TensorDataset, TensorDataset],
    text: ModelText,
) -> ModelMetadata:
    train, test = parts
    return ModelMetadata(
        name=text.name,
        targets=train.targets,
        settings=network_settings,
        species=training.species,
        n_neighbours=training.n_neighbours,
        scaling=training.scaling,
        dtype=training.settings.dtype,
        description=text.description,
        limitations=text.limitations,
        training={
            "data": train.name,
            "data_sha256": train.sha256,
            "train_frames": list(train.indices),
            "test_frames": list(test.indices),
            "validation_frames": list(training.validation_frames),
            "best_epoch": training.best.epoch or training.epoch,
            "atoms": train.n_atoms,
            "labelled_atoms": train.n_labelled,
            "settings": training.settings.as_dict(),
        },
        versions={
            "mimyria": mimyria.__version__,
            "torch": torch.__version__,
            "e3nn": e3nn.__version__,
            "python": platform.python_version(),
        },
    )


def predict_with(
    training: Training, metadata: ModelMetadata, dataset: TensorDataset
) -> list[Array]:
    """Predictions of the trained weights for every frame, shaped like labels."""
    weights = {name: value.numpy() for name, value in training.weights.items()}
    empty = Example(dataset.frames[0], np.zeros(0))
    network = network_from_file(ModelFile(metadata, weights, empty), metadata.dtype)
    model = TensorModel(network, metadata, torch.device("cpu"))
    return [
        model.predict([frame], [charge])[0].columns(dataset.targets)
        for frame, charge in zip(dataset.frames, dataset.total_charges, strict=True)
    ]


def split_frames(
    dataset: TensorDataset, settings: TrainingSettings
) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Frames to train on, to validate with and to test with, drawn by the seed.

    Raises:
        SettingsError: no frame would be left to train on.
    """
    rest, test = dataset.split(settings.test_frames, settings.seed)
    train, validation = rest.split(settings.validation_frames, settings.seed)
    return train, validation, test


def finish(
    training: Training,
    network_settings: NetworkSettings,
    parts: tuple[TensorDataset, TensorDataset],
    text: ModelText,
    path: Path,
    cross_validation: dict[str, Any] | None = None,
) -> ModelMetadata:
    """Measure the trained network and write its model file.

    Args:
        training: after its last epoch.
        network_settings: the architecture.
        parts: training and test part of the data; the test part may be empty.
        text: name and description.
        path: model file to write.
        cross_validation: errors of `cross_validate`, to be stored as well.

    Returns:
        The metadata in the file.
    """
    train, test = parts
    metadata = _metadata(training, network_settings, parts, text)
    errors: dict[str, Any] = {}
    for key, part in (("train", train), ("test", test)):
        if len(part):
            answers = predict_with(training, metadata, part)
            errors[key] = prediction_errors(
                part, answers, training.species, training.scaling
            )
            # A test frame if there is one.
            example = Example(part.frames[0], answers[0], part.total_charges[0])
    if cross_validation is not None:
        errors["cross_validation"] = cross_validation
    weights = {name: value.numpy() for name, value in training.weights.items()}
    return save_model(
        path,
        metadata.with_changes(errors=errors),
        weights,
        example,
    )


def cross_validate(
    dataset: TensorDataset,
    network_settings: NetworkSettings,
    settings: TrainingSettings,
    work_dir: Path,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Leave-one-out errors: each frame predicted by a network that never saw it.

    Args:
        dataset: all frames.
        network_settings: the architecture.
        settings: of each of the trainings.
        work_dir: existing folder.
        progress: called after each epoch of each training.
        device: where to compute.

    Returns:
        As `prediction_errors`, over all frames.
    """
    answers: list[Array] = []
    for left_out in range(len(dataset)):
        kept = [k for k in range(len(dataset)) if k != left_out]
        rest, test = dataset.subset(kept), dataset.subset([left_out])
        train, validation = rest.split(settings.validation_frames, settings.seed)
        training = Training(
            train,
            dataset.species,
            network_settings,
            settings,
            validation,
            resolve_device(device),
        )
        training.run(work_dir, progress)
        metadata = _metadata(
            training, network_settings, (train, test), ModelText("fold")
        )
        answers += predict_with(training, metadata, test)
    scaling = dataset_scaling(dataset, dataset.species)
    return prediction_errors(dataset, answers, dataset.species, scaling)
