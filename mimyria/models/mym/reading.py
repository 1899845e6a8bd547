"""What is in a `.mym` file: bytes to checked numbers, and nothing that is run.

    NAME.mym (zip)
    ├── info.json        class, frames of the training, epochs
    ├── params.json      hyper-parameters
    ├── net.torch        tensors of the network
    ├── state.torch      basis of the irreps, mean and deviation of each element
    └── opt.torch, scheduler.torch    for a training to go on; never looked at

Tensors are read by torch's reader of weights, which builds tensors and plain containers
and refuses everything else.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from mimyria.errors import ModelError, one_line
from mimyria.frame import Array
from mimyria.models.archive import ZIP_ERRORS, open_archive
from mimyria.models.mym.parameters import MymParameters
from mimyria.targets import APT, PGT, Target

__all__ = ["MymFile", "read_mym"]

_INFO: Final = "info.json"
_PARAMETERS: Final = "params.json"
_NETWORK: Final = "net.torch"
_STATE: Final = "state.torch"
_MEMBERS: Final = (_INFO, _PARAMETERS, _NETWORK, _STATE)
_STATE_KEYS: Final = frozenset(("change_of_basis", "normalize_mean", "normalize_std"))
_TARGETS: Final = {"APTNetwork": APT, "PGTNetwork": PGT}

# More than the largest network that `MymParameters` lets through in practice.
_MOST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class MymFile:
    """Content of a `.mym` file.

    Attributes:
        target: what the network predicts.
        parameters: architecture and normalisation.
        tensors: name and values of each tensor of the network.
        basis: (dim, *target.shape) — from irreps to Cartesian components, in the index
            order of its training data.
        mean: (n_elements, dim) — added to irreps, in the order of the elements.
        deviation: (n_elements, dim) — irreps are multiplied by it.
        info: what it says of its training.
        name: name of the file.
        sha256: digest of the file.
    """

    target: Target
    parameters: MymParameters
    tensors: dict[str, Array]
    basis: Array
    mean: Array
    deviation: Array
    info: dict[str, Any]
    name: str
    sha256: str


def read_mym(path: str | Path) -> MymFile:
    """Read and check a `.mym` file.

    Raises:
        ModelError: it is missing or damaged, or holds something else.
    """
    path = Path(path)
    content = open_archive(path)
    try:
        digest = hashlib.sha256(content).hexdigest()
        return _parsed(_members(content), path.name, digest)
    except ModelError as error:
        raise ModelError(f"{path} cannot be imported: {error}") from error


def _members(content: bytes) -> dict[str, bytes]:
    """The members that are of use."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            lacking = sorted(set(_MEMBERS) - set(file.namelist()))
            if lacking:
                raise ModelError(
                    f"it is no .mym file of a trained network, since it has no "
                    f"{', '.join(lacking)}."
                )
            if sum(file.getinfo(name).file_size for name in _MEMBERS) > _MOST_BYTES:
                raise ModelError(f"its members are larger than {_MOST_BYTES} bytes.")
            return {name: file.read(name) for name in _MEMBERS}
    except ModelError:
        raise
    except ZIP_ERRORS as error:
        raise ModelError(f"the archive is damaged ({one_line(error)}).") from error


def _parsed(members: Mapping[str, bytes], name: str, sha256: str) -> MymFile:
    info, values = _json(members, _INFO), _json(members, _PARAMETERS)
    kind = info.get("class_name")
    if kind not in _TARGETS:
        raise ModelError(
            f"it holds a {kind!r}, but only {' and '.join(_TARGETS)} are known."
        )
    target, parameters = _TARGETS[kind], MymParameters.from_json(values)
    tensors = _loaded(members, _NETWORK)
    state = _loaded(members, _STATE)
    if set(state) != _STATE_KEYS:
        raise ModelError(
            f"{_STATE} must hold {sorted(_STATE_KEYS)}, but holds {sorted(state)}."
        )
    dim = target.n_independent
    basis = _numbers(state["change_of_basis"], "change_of_basis", (dim, *target.shape))
    mean, deviation = _normalisation(state, parameters, dim)
    return MymFile(
        target,
        parameters,
        {key: _numbers(value, key) for key, value in tensors.items()},
        basis,
        mean,
        deviation,
        info,
        name,
        sha256,
    )


def _json(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        values = json.loads(members[name])
    except ValueError as error:
        raise ModelError(f"{name} is not JSON ({one_line(error)}).") from error
    if not isinstance(values, dict):
        raise ModelError(f"{name} does not hold names and values.")
    return values


def _loaded(members: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """Tensors and plain containers by name."""
    try:
        values = torch.load(
            io.BytesIO(members[name]), map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch and zip raise what they like for a bad file
        raise ModelError(
            f"{name} holds something else than weights, or is damaged "
            f"({one_line(error)[:80]} …)."
        ) from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ModelError(f"{name} does not hold tensors by name.")
    return values


def _numbers(value: object, name: str, shape: tuple[int, ...] | None = None) -> Array:
    """A tensor as finite numbers of double precision."""
    if (
        not isinstance(value, torch.Tensor)
        or not value.is_floating_point()
        or value.layout is not torch.strided
        or value.device.type != "cpu"
        or value.numel() > _MOST_BYTES // 8  # a small storage can pretend to be large
    ):
        raise ModelError(f"{name} is no tensor of real numbers.")
    if shape is not None and tuple(value.shape) != shape:
        raise ModelError(
            f"{name} must have the shape {shape}, but has {tuple(value.shape)}."
        )
    numbers: Array = value.detach().double().numpy()
    if not np.isfinite(numbers).all():
        raise ModelError(f"{name} has numbers that are not finite.")
    return numbers


def _normalisation(
    state: Mapping[str, Any], parameters: MymParameters, dim: int
) -> tuple[Array, Array]:
    """Mean and deviation (n_elements, dim) each."""
    elements = parameters.elements
    if parameters.normalisation == "NORM_NONE":
        return np.zeros((len(elements), dim)), np.ones((len(elements), dim))
    tables = []
    for key in ("normalize_mean", "normalize_std"):
        rows = state[key]
        if not isinstance(rows, dict) or not set(elements) <= set(rows):
            raise ModelError(f"{key} does not have all of {', '.join(elements)}.")
        tables.append(
            np.stack(
                [_numbers(rows[each], f"{key} of {each}", (dim,)) for each in elements]
            )
        )
    return tables[0], tables[1]
