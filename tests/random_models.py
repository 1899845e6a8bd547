"""Model files with random weights, for tests that need one and not what it says."""

from __future__ import annotations

import torch

from mimyria.data.scaling import Scaling
from mimyria.models import (
    Example,
    ModelMetadata,
    NetworkSettings,
    TensorModel,
    build_network,
    save_model,
)
from mimyria.models.modelfile import network_weights
from mimyria.models.network import target_irreps
from mimyria.targets import APT

__all__ = ["TINY", "save_random_model"]

TINY = NetworkSettings((4, 3, 2), 2, "natural", 2, 3.0, 4, 8)


def save_random_model(
    path, frame, targets=(APT,), settings=TINY, *, name="random", seed=1, neighbours=5.0
):
    """Write a model of hydrogen and oxygen; a frame is its example."""
    scaling = Scaling.neutral(2, target_irreps(targets).dim)
    network = build_network(targets, settings, 2, neighbours, scaling, seed=seed).eval()
    metadata = ModelMetadata(name, targets, settings, (1, 8), neighbours, scaling)
    model = TensorModel(network, metadata, torch.device("cpu"))
    example = Example(frame, model.predict([frame])[0].columns(targets))
    save_model(path, metadata, network_weights(network), example)
    return path
