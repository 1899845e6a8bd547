"""Networks for response tensors, their files, and predictions with them.

Networks for training need e3nn, which is imported with the first of them: predictions
from deployed files do without.
"""

from typing import TYPE_CHECKING

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
from mimyria.models.settings import PRESETS, NetworkSettings, preset

if TYPE_CHECKING:
    from mimyria.models.network import TensorNetwork, build_network

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


def __getattr__(name: str) -> object:
    """Import what needs e3nn when it is first asked for."""
    if name in ("TensorNetwork", "build_network"):
        from mimyria.models import network

        return getattr(network, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
