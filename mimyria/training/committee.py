"""Committees: several trained networks as one model that knows how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from mimyria.data.dataset import TensorDataset
from mimyria.errors import ModelError
from mimyria.models.metadata import ModelMetadata
from mimyria.models.model import TensorModel
from mimyria.models.modelfile import (
    ModelFile,
    fused_from_file,
    read_metadata,
    read_model,
    save_model,
)
from mimyria.training.calibration import calibrate
from mimyria.training.result import ModelText, measured

__all__ = ["join_members"]

# Sums over the data, which another processor may round otherwise.
_ROUNDING: Final = 1e-9

_SAME_TRAINING: Final = (
    "data_sha256",
    "train_frames",
    "test_frames",
    "validation_frames",
)


def join_members(
    paths: Sequence[Path],
    dataset: TensorDataset,
    text: ModelText,
    output: Path,
    report: Path | None = None,
) -> ModelMetadata:
    """Join trained models to a committee, calibrate it and write its file.

    Args:
        paths: model files that differ in the seed of their training only.
        dataset: the data that they were trained on.
        text: name and description.
        output: model file to write.
        report: existing folder for parity plots; none if left out.

    Returns:
        The metadata in the file.

    Raises:
        ModelError: there are fewer than two, or they do not belong together.
    """
    files = [read_model(path) for path in paths]
    _require_one_kind(paths, files)
    first = files[0].metadata
    if dataset.sha256 != first.training["data_sha256"]:
        raise ModelError(
            f"{dataset.name} is not what {paths[0]} was trained on: its SHA-256 is "
            f"{dataset.sha256}, not {first.training['data_sha256']}. Give the file "
            f"that was {first.training['data']} then."
        )
    metadata = first.with_changes(
        name=text.name,
        description=text.description,
        limitations=text.limitations,
        members=len(files),
        training={**first.training, "members": [_origin(file) for file in files]},
        errors={},
        sha256="",
    )
    weights = {
        f"members.{k}.{name}": value
        for k, file in enumerate(files)
        for name, value in file.weights.items()
    }
    network = fused_from_file(
        ModelFile(metadata, weights, files[0].example), metadata.dtype
    )
    model = TensorModel(network, metadata, torch.device("cpu"))
    train = dataset.subset(first.training["train_frames"])
    test = dataset.subset(first.training["test_frames"])
    errors, example, shown = measured(model, train, test)
    saved = save_model(
        output,
        metadata.with_changes(errors=errors, uncertainty=calibrate(model, train, test)),
        weights,
        example,
    )
    if report is not None:
        from mimyria.training.report import write_report  # matplotlib, when needed

        write_report(report, saved, (), shown)
    return saved


def _origin(file: ModelFile) -> dict[str, Any]:
    """Which training a member came from."""
    metadata = file.metadata
    return {
        "seed": metadata.training["settings"]["seed"],
        "sha256": metadata.sha256,
        "errors": {
            name: found["relative"]
            for name, found in metadata.errors.get("test", {}).items()
        },
    }


def _require_one_kind(paths: Sequence[Path], files: Sequence[ModelFile]) -> None:
    if len(files) < 2:
        raise ModelError(f"A committee needs two models or more, not {len(files)}.")
    wanted = _kind(read_metadata(paths[0]))
    seeds = []
    for path, file in zip(paths, files, strict=True):
        for name, found in _kind(file.metadata).items():
            if found != wanted[name]:
                raise ModelError(
                    f"{path} cannot join {paths[0]}: its {name} are {found}, not "
                    f"{wanted[name]}. Members differ in --seed only; train them with "
                    "the same --split-seed."
                )
        if not _equal_scales(files[0].metadata, file.metadata):
            raise ModelError(
                f"{path} cannot join {paths[0]}: its scaling of the tensors is another "
                "one. Train it again with the same version of mimyria."
            )
        seeds.append(file.metadata.training["settings"]["seed"])
    if len(set(seeds)) < len(seeds):
        raise ModelError(
            f"Members must be trained with seeds of their own, but have {seeds}: equal "
            "networks always agree."
        )


def _equal_scales(one: ModelMetadata, other: ModelMetadata) -> bool:
    """Whether what all members share was made of the data in the same way."""
    pairs = (
        (one.scaling.shift, other.scaling.shift),
        (one.scaling.scale, other.scaling.scale),
        (one.n_neighbours, other.n_neighbours),
    )
    return all(
        np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING * float(np.abs(a).max()))
        for a, b in pairs
    )


def _kind(metadata: ModelMetadata) -> dict[str, Any]:
    """What members must have in common."""
    if metadata.members > 1 or not metadata.training:
        raise ModelError(
            f"'{metadata.name}' is no network of a training: a committee is made of "
            "single networks, from `mimyria train`."
        )
    settings = dict(metadata.training["settings"])
    for name in ("seed", "split_seed"):
        settings.pop(name, None)
    return {
        "targets": list(metadata.target_names),
        "network settings": metadata.settings.as_dict(),
        "elements": list(metadata.species),
        "dtype": metadata.dtype,
        "training settings": settings,
        **{name: metadata.training.get(name) for name in _SAME_TRAINING},
    }
