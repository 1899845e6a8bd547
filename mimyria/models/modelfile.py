"""The long-lived model file: metadata, weights and an example, without pickle.

    NAME.mimyria (zip, stored)
    ├── model.json            metadata
    ├── weights.safetensors   parameters of the network, or of each of a committee
    ├── example.safetensors   a frame and the network's answer to it
    └── sha256.json           digest of each of the others

The network is built from this program's code and the metadata, then given the weights;
the example tells whether code, e3nn and torch still give the same numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from mimyria.errors import ModelError
from mimyria.files import replace_file
from mimyria.frame import Array, Frame
from mimyria.models.archive import (
    add_members,
    content_digest,
    open_archive,
    read_members,
)
from mimyria.models.keys import EXAMPLE, METADATA, WEIGHTS
from mimyria.models.metadata import ModelMetadata

if TYPE_CHECKING:
    from mimyria.models.fused import FusedCommittee, FusedNetwork
    from mimyria.models.network import TensorNetwork

__all__ = [
    "Example",
    "ModelFile",
    "Weights",
    "fused_from_file",
    "load_weights",
    "member_weights",
    "network_from_file",
    "read_metadata",
    "read_model",
    "save_model",
    "weights_digest",
]

Weights = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame and the tensors that the network gave for it when it was saved.

    Attributes:
        frame: the frame.
        columns: (n_atoms, n_components) — those of all targets side by side, each
            tensor row-major, in the units of the targets.
        charge: total charge of the frame, e.
    """

    frame: Frame
    columns: Array
    charge: float = 0.0

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        return safetensors.numpy.save(
            {
                "numbers": np.ascontiguousarray(self.frame.numbers),
                "positions": np.ascontiguousarray(self.frame.positions),
                "cell": np.ascontiguousarray(self.frame.cell),
                "pbc": np.array(self.frame.pbc, dtype=np.uint8),
                "answer": np.ascontiguousarray(self.columns),
                "charge": np.array([self.charge]),
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Example:
        """Inverse of `to_bytes`."""
        arrays = safetensors.numpy.load(content)
        x, y, z = (bool(flag) for flag in arrays["pbc"])
        frame = Frame(
            numbers=arrays["numbers"],
            positions=arrays["positions"],
            cell=arrays["cell"],
            velocities=None,
            step=0,
            pbc=(x, y, z),
        )
        charge = float(arrays["charge"][0]) if "charge" in arrays else 0.0
        return cls(frame, arrays["answer"].reshape(frame.n_atoms, -1), charge)


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """Content of a model file.

    Attributes:
        metadata: with the digest of the content in `sha256`.
        weights: name and values of each parameter.
        example: for the self-test.
    """

    metadata: ModelMetadata
    weights: Weights
    example: Example


def network_weights(network: torch.nn.Module) -> Weights:
    """All parameters as float32 or float64 arrays."""
    return {
        name: parameter.detach().cpu().numpy().copy()
        for name, parameter in network.named_parameters()
    }


def save_model(
    path: str | Path, metadata: ModelMetadata, weights: Weights, example: Example
) -> ModelMetadata:
    """Write a model file atomically.

    Returns:
        The metadata with the digest of the written content.
    """
    members = {
        METADATA: json.dumps(
            metadata.with_changes(sha256="").as_dict(), indent=1, sort_keys=True
        ).encode(),
        WEIGHTS: safetensors.numpy.save(weights),
        EXAMPLE: example.to_bytes(),
    }
    replace_file(Path(path), add_members(b"", members))
    return metadata.with_changes(sha256=content_digest(members))


def parse_members(
    members: dict[str, bytes], path: Path
) -> tuple[ModelMetadata, Example]:
    """Metadata and example of a model of either kind.

    Raises:
        ModelError: something is missing or cannot be used.
    """
    try:
        values = json.loads(members[METADATA])
        example = Example.from_bytes(members[EXAMPLE])
    except KeyError as error:
        raise ModelError(f"{path} lacks {error}; it is no whole model.") from error
    except (ValueError, safetensors.SafetensorError) as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    try:
        return ModelMetadata.from_dict(values), example
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def read_model(path: str | Path) -> ModelFile:
    """Read and check a model file.

    Raises:
        ModelError: the file is missing, altered, or not a long-lived model file.
    """
    path = Path(path)
    members = read_members(open_archive(path), path)
    if WEIGHTS not in members:
        raise ModelError(
            f"{path} is a deployed model; this needs the long-lived model file that it "
            "was made from."
        )
    metadata, example = parse_members(members, path)
    try:
        weights = safetensors.numpy.load(members[WEIGHTS])
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path}: the weights cannot be read: {error}.") from error
    return ModelFile(
        metadata.with_changes(sha256=content_digest(members)), weights, example
    )


def read_metadata(path: str | Path) -> ModelMetadata:
    """Metadata of a model of either kind, without building a network.

    Raises:
        ModelError: the file is missing, altered, or no model.
    """
    path = Path(path)
    members = read_members(open_archive(path), path)
    metadata, _ = parse_members(members, path)
    if WEIGHTS in members:
        return metadata.with_changes(sha256=content_digest(members))
    return metadata


def member_weights(weights: Weights, member: int) -> Weights:
    """What one network of a committee has among the weights of all."""
    prefix = f"members.{member}."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def weights_digest(weights: Weights) -> str:
    """SHA-256 of the names and values of weights."""
    ordered = {name: weights[name] for name in sorted(weights)}
    return hashlib.sha256(safetensors.numpy.save(ordered)).hexdigest()


def network_from_file(
    file: ModelFile, dtype: str, member: int | None = None
) -> TensorNetwork:
    """Build the network of a model file as it was trained, with e3nn.

    Args:
        file: the model file.
        dtype: of weights and arithmetic.
        member: which network of a committee; None for a single network.

    Raises:
        ModelError: the weights do not fit the architecture.
    """
    from mimyria.models.network import build_network

    metadata = file.metadata
    network = build_network(
        metadata.targets,
        metadata.settings,
        len(metadata.species),
        metadata.n_neighbours,
        metadata.scaling,
        dtype=getattr(torch, dtype),
    )
    weights = file.weights
    load_weights(
        network, weights if member is None else member_weights(weights, member)
    )
    return network.eval()


def fused_from_file(file: ModelFile, dtype: str) -> FusedNetwork | FusedCommittee:
    """Build the network of a model file, or its committee, for inference.

    Raises:
        ModelError: the weights do not fit the architecture, or no table fits them.
    """
    from mimyria.models.fused import FusedCommittee
    from mimyria.models.fused.fusing import fuse_network

    count = file.metadata.members
    members = [None] if count == 1 else list(range(count))
    networks = [
        fuse_network(network_from_file(file, "float64", k), getattr(torch, dtype))
        for k in members
    ]
    return networks[0] if count == 1 else FusedCommittee(networks)


def load_weights(network: torch.nn.Module, weights: Weights) -> None:
    """Copy weights into the parameters of a network.

    Raises:
        ModelError: names or shapes differ.
    """
    parameters = dict(network.named_parameters())
    wanted = {name: tuple(value.shape) for name, value in parameters.items()}
    found = {name: value.shape for name, value in weights.items()}
    if wanted != found:
        wrong = sorted(
            name for name in {*wanted, *found} if wanted.get(name) != found.get(name)
        )[0]
        raise ModelError(
            f"The weights do not fit the network: '{wrong}' should have the shape "
            f"{wanted.get(wrong)}, but has {found.get(wrong)}."
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(weights[name]))
