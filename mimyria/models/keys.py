"""Names inside model files, written down once."""

from __future__ import annotations

from typing import Final

__all__ = [
    "DIGESTS",
    "EXAMPLE",
    "EXTRA",
    "FORMAT_VERSION",
    "METADATA",
    "SUFFIX",
    "WEIGHTS",
]

FORMAT_VERSION: Final = 3
"""Version of `model.json`; older ones go through `metadata.UPGRADES`."""

SUFFIX: Final = ".mimyria"
METADATA: Final = "model.json"
WEIGHTS: Final = "weights.safetensors"
EXAMPLE: Final = "example.safetensors"
DIGESTS: Final = "sha256.json"

EXTRA: Final = "extra/"
"""Folder in a TorchScript archive where torch keeps files of other programs."""
