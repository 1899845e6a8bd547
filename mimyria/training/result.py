"""From a finished training to a model file, with test errors inside."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import e3nn
import numpy as np
import torch

import mimyria
from mimyria.data.dataset import TensorDataset
from mimyria.frame import Array, Frame
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

if TYPE_CHECKING:
    from mimyria.training.report import Part

__all__ = [
    "ModelText",
    "cross_validate",
    "finish",
    "measured",
    "predicted_labels",
    "split_frames",
]


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


def _trained_model(
    training: Training, metadata: ModelMetadata, frame: Frame
) -> TensorModel:
    """The trained weights, ready to predict; the frame stands for an example."""
    weights = {name: value.numpy() for name, value in training.weights.items()}
    empty = Example(frame, np.zeros(0))
    network = network_from_file(ModelFile(metadata, weights, empty), metadata.dtype)
    return TensorModel(network, metadata, torch.device("cpu"))


def predicted_labels(model: TensorModel, dataset: TensorDataset) -> list[Array]:
    """Predictions for every frame, shaped like labels."""
    return [
        model.predict([frame], [charge])[0].columns(dataset.targets)
        for frame, charge in zip(dataset.frames, dataset.total_charges, strict=True)
    ]


def split_frames(
    dataset: TensorDataset, settings: TrainingSettings
) -> tuple[TensorDataset, TensorDataset, TensorDataset]:
    """Frames to train on, to validate with and to test with, drawn by the seed.

    Raises:
        SettingsError: no frame would be left to train on, or fewer than wanted.
    """
    seed = settings.seed_of_split
    rest, test = dataset.split(settings.test_frames, seed)
    train, validation = rest.split(settings.validation_frames, seed)
    if settings.train_frames:
        train = train.drawn(settings.train_frames, seed)
    return train, validation, test


def measured(
    model: TensorModel, train: TensorDataset, test: TensorDataset
) -> tuple[dict[str, Any], Example, list[Part]]:
    """Errors of a model, an example of what it says, and what a report shows.

    Args:
        model: the model.
        train: the frames that it was trained on.
        test: held-out frames, of which the example is one; may be empty.
    """
    errors: dict[str, Any] = {}
    shown: list[Part] = []
    for key, title, part in (("train", "training", train), ("test", "test", test)):
        if len(part):
            answers = predicted_labels(model, part)
            shown.append((title, part, answers))
            errors[key] = prediction_errors(
                part, answers, model.metadata.species, model.metadata.scaling
            )
            example = Example(part.frames[0], answers[0], part.total_charges[0])
    return errors, example, shown


def finish(
    training: Training,
    network_settings: NetworkSettings,
    parts: tuple[TensorDataset, TensorDataset],
    text: ModelText,
    path: Path,
    cross_validation: dict[str, Any] | None = None,
    report: Path | None = None,
) -> ModelMetadata:
    """Measure the trained network and write its model file.

    Args:
        training: after its last epoch.
        network_settings: the architecture.
        parts: training and test part of the data; the test part may be empty.
        text: name and description.
        path: model file to write.
        cross_validation: errors of `cross_validate`, to be stored as well.
        report: existing folder for curve and parity plots; none if left out.

    Returns:
        The metadata in the file.
    """
    train, test = parts
    metadata = _metadata(training, network_settings, parts, text)
    model = _trained_model(training, metadata, train.frames[0])
    errors, example, shown = measured(model, train, test)
    if cross_validation is not None:
        errors["cross_validation"] = cross_validation
    weights = {name: value.numpy() for name, value in training.weights.items()}
    saved = save_model(path, metadata.with_changes(errors=errors), weights, example)
    if report is not None:
        from mimyria.training.report import write_report  # matplotlib, when needed

        write_report(report, saved, training.curve, shown)
    return saved


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
        train, validation = rest.split(
            settings.validation_frames, settings.seed_of_split
        )
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
        model = _trained_model(training, metadata, test.frames[0])
        answers += predicted_labels(model, test)
    scaling = dataset_scaling(dataset, dataset.species)
    return prediction_errors(dataset, answers, dataset.species, scaling)
