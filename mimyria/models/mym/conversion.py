"""From a `.mym` file to a model file of ours, with the same predictions.

Index order and unit are not in such files. What the old program makes of forces in a
field is the default; whoever trained on something else has to say so.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import e3nn
import numpy as np
import torch

import mimyria
from mimyria.data.scaling import Scaling
from mimyria.errors import ModelError
from mimyria.frame import Array, Frame
from mimyria.io.layouts import layout_of
from mimyria.models.coupling import change_of_basis
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.metadata import ModelMetadata
from mimyria.models.model import TensorModel
from mimyria.models.modelfile import (
    Example,
    ModelFile,
    network_from_file,
    save_model,
)
from mimyria.models.mym.reading import MymFile
from mimyria.models.mym.weights import converted_weights
from mimyria.targets import APT, PGT

__all__ = ["ORDERS", "UNITS", "import_mym"]

ORDERS: Final = {APT.name: "dM_b/dr_a", PGT.name: "dalpha_ab/dr_c"}
"""Index orders of what the old program makes of forces in a field."""

UNITS: Final = {APT.name: APT.unit, PGT.name: PGT.unit}
"""Units of what its commands make of them."""

_NOT_KNOWN: Final = (
    "Neither its training data nor its errors are known: such files do not hold them. "
    "Compare its predictions with labels before use."
)
_NOT_EQUIVARIANT: Final = (
    "It shifts and scales each component of a tensor on its own (NORM_LAST), so its "
    "tensors do not turn exactly with the frame."
)


def import_mym(
    file: MymFile,
    output: str | Path,
    name: str | None = None,
    order: str | None = None,
    unit: str | None = None,
) -> ModelMetadata:
    """Write the model file of a `.mym` file.

    Args:
        file: from `read_mym`.
        output: file to write.
        name: of the model; that of the output if left out.
        order: index order of the tensors that it was trained on; `ORDERS` if left out.
        unit: their unit; `UNITS` if left out.

    Returns:
        The metadata in the file.

    Raises:
        ModelError: the tensors are not those of the network that the file describes.
        UnitError: order or unit is not known.
    """
    output = Path(output)
    key = file.target.name
    order, unit = order or ORDERS[key], unit or UNITS[key]
    axes, factor = layout_of(file.target).require(order, unit, "Give another one.")
    try:
        signs = _signs(file, axes, order)
        species = tuple(sorted(file.parameters.numbers))
        weights = converted_weights(file, species, signs)
    except ModelError as error:
        raise ModelError(f"{file.name} cannot be imported: {error}") from error
    metadata = ModelMetadata(
        name=name or output.stem,
        targets=(file.target,),
        settings=file.parameters.settings,
        species=species,
        n_neighbours=file.parameters.n_neighbours,
        scaling=_scaling(file, species, signs, factor),
        dtype="float64",
        description=_description(file, order, unit),
        limitations=_limitations(file),
        versions={
            "mimyria": mimyria.__version__,
            "torch": torch.__version__,
            "e3nn": e3nn.__version__,
            "python": platform.python_version(),
        },
    )
    return save_model(output, metadata, weights, _example(metadata, weights))


def _signs(file: MymFile, axes: tuple[int, ...], order: str) -> Array:
    """Signs (dim,) by which our irreps differ from those in the file.

    The basis in the file, its indices put in our order, must be ours up to signs:
    transposing a matrix changes that of its antisymmetric part.
    """
    theirs = file.basis.transpose(0, *(axis + 1 for axis in axes))
    ours = change_of_basis([file.target]).numpy()
    overlap = theirs.reshape(len(theirs), -1) @ ours.T
    signs: Array = np.sign(np.diag(overlap))
    if np.abs(overlap - np.diag(signs)).max() > 1e-6:
        raise ModelError(
            f"its basis of irreps is not that of e3nn {e3nn.__version__} for tensors "
            f"in the order {order}."
        )
    return signs


def _scaling(
    file: MymFile, species: tuple[int, ...], signs: Array, factor: float
) -> Scaling:
    """Shift and scale in our order of elements, irreps and unit."""
    rows = [file.parameters.numbers.index(z) for z in species]
    return Scaling(file.mean[rows] * signs * factor, file.deviation[rows] * factor)


def _description(file: MymFile, order: str, unit: str) -> str:
    counts = [
        len(file.info[key]) if isinstance(file.info.get(key), list) else None
        for key in ("train_data_indices", "test_data_indices")
    ]
    frames = (
        f" It was trained on {counts[0]} frames, with {counts[1]} to watch it."
        if None not in counts
        else ""
    )
    return (
        f"Imported from {file.name} (SHA-256 {file.sha256}) of the older program of "
        f"the same name, normalisation {file.parameters.normalisation}; its tensors "
        f"were read as {order} in {unit}.{frames}"
    )


def _limitations(file: MymFile) -> tuple[str, ...]:
    if file.parameters.normalisation == "NORM_LAST":
        return _NOT_KNOWN, _NOT_EQUIVARIANT
    return (_NOT_KNOWN,)


def _example(metadata: ModelMetadata, weights: dict[str, Array]) -> Example:
    """A made-up frame with every element, and the answer, checked both ways."""
    frame = _made_up_frame(metadata)
    file = ModelFile(metadata, weights, Example(frame, np.zeros(0)))
    cpu = torch.device("cpu")
    network = network_from_file(file, metadata.dtype)
    (answer,) = TensorModel(network, metadata, cpu).predict([frame])
    example = Example(frame, answer.columns(metadata.targets))
    fused = fuse_network(network, getattr(torch, metadata.dtype))
    TensorModel(fused, metadata, cpu).self_test(example)
    return example


def _made_up_frame(metadata: ModelMetadata) -> Frame:
    """Two atoms of each element, all within reach of some others."""
    numbers = np.array(metadata.species * 2)
    rng = np.random.default_rng(1)
    side = int(np.ceil(len(numbers) ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)
    sites = grid[: len(numbers)] + rng.uniform(-0.2, 0.2, (len(numbers), 3))
    spacing = metadata.cutoff / 3
    cell = np.eye(3) * (side + 6) * spacing
    return Frame(numbers, sites * spacing, cell, None, 0, pbc=(False, False, False))
