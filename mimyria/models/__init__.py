"""Networks for response tensors, their files, and predictions with them."""

from mimyria.models.card import model_card
from mimyria.models.deployed import export_model
from mimyria.models.metadata import ModelMetadata
from mimyria.models.model import (
    TensorModel,
    load_model,
    resolve_device,
    resolve_model,
    shipped_models,
)
from mimyria.models.modelfile import (
    Example,
    ModelFile,
    read_metadata,
    read_model,
    save_model,
)
from mimyria.models.network import TensorNetwork, build_network
from mimyria.models.settings import PRESETS, NetworkSettings, preset

__all__ = [
    "PRESETS",
    "Example",
    "ModelFile",
    "ModelMetadata",
    "NetworkSettings",
    "TensorModel",
    "TensorNetwork",
    "build_network",
    "export_model",
    "load_model",
    "model_card",
    "preset",
    "read_metadata",
    "read_model",
    "resolve_device",
    "resolve_model",
    "save_model",
    "shipped_models",
]
