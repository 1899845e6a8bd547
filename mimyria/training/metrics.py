"""Errors of predictions: for each element and irrep, and of the sum rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from mimyria.data.dataset import TensorDataset
from mimyria.data.scaling import IrrepBlock, Scaling
from mimyria.frame import Array
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks

__all__ = ["prediction_errors", "relative_error"]


def relative_error(difference: Array, reference: Array) -> float:
    """√(Σ difference² / Σ reference²); zero where there is no reference."""
    size = float((reference**2).sum())
    return float(np.sqrt((difference**2).sum() / size)) if size > 0 else 0.0


def prediction_errors(
    dataset: TensorDataset,
    predictions: Sequence[Array],
    species: Sequence[int],
    scaling: Scaling,
) -> dict[str, Any]:
    """Errors of predictions for labelled frames.

    Relative errors are those of the best constant: 1 means no better than the mean
    tensor of each element in the training data (zero for all but scalars).

    Args:
        dataset: the frames with their labels.
        predictions: for each frame, shaped like its labels.
        species: sorted atomic numbers of the model.
        scaling: of the model; its shift is the best constant.

    Returns:
        `frames`, `rmse` of a Cartesian component and `relative` of all atoms;
        `elements`: the same for each element and, under `irreps`, each irrep;
        `sum_rule`: largest component of Σ_i of a frame, predicted and in the labels.
    """
    basis = change_of_basis(dataset.target).numpy()
    flat = (-1, dataset.target.n_components)
    labels = np.concatenate([label.reshape(flat) for label in dataset.labels])
    guesses = np.concatenate([guess.reshape(flat) for guess in predictions])
    numbers = np.concatenate([frame.numbers for frame in dataset.frames])
    kinds = np.searchsorted(np.asarray(species), numbers)
    difference = (guesses - labels) @ basis.T
    reference = labels @ basis.T - scaling.shift[kinds]
    blocks = irrep_blocks(dataset.target)
    elements = {}
    for number in sorted(set(numbers.tolist())):
        own = numbers == number
        elements[chemical_symbols[number]] = _element_errors(
            difference[own], reference[own], blocks, dataset.target.n_components
        )
    return {
        "frames": len(dataset),
        "rmse": _rmse(difference, dataset.target.n_components),
        "relative": relative_error(difference, reference),
        "elements": elements,
        "sum_rule": {
            "predicted": _largest_sum(predictions),
            "labels": _largest_sum(dataset.labels),
        },
    }


def _element_errors(
    difference: Array, reference: Array, blocks: Sequence[IrrepBlock], n: int
) -> dict[str, Any]:
    irreps: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(block.name for block in blocks):
        columns = np.concatenate(
            [np.arange(b.start, b.stop) for b in blocks if b.name == name]
        )
        irreps[name] = {
            "rmse": float(np.sqrt((difference[:, columns] ** 2).mean())),
            "relative": relative_error(difference[:, columns], reference[:, columns]),
        }
    return {
        "rmse": _rmse(difference, n),
        "relative": relative_error(difference, reference),
        "irreps": irreps,
    }


def _rmse(difference: Array, n_components: int) -> float:
    """Root mean square error of one Cartesian component.

    The change of basis is orthonormal, so sums of squares are the same in irreps.
    """
    return float(np.sqrt((difference**2).sum() / (len(difference) * n_components)))


def _largest_sum(tensors: Sequence[Array]) -> float:
    return max((float(np.abs(t.sum(axis=0)).max()) for t in tensors), default=0.0)
