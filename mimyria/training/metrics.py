"""Errors of predictions: for each element and irrep, and of the sum rule.

Only atoms with labels count. The sum rule needs the tensors of all atoms of a frame,
and is left out where some have none.
"""

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
        `frames`, `atoms` with labels, `rmse` of a Cartesian component and `relative` of
        these atoms; `elements`: the same for each element and, under `irreps`, each
        irrep; `sum_rule`: largest component of Σ_i of a frame, predicted and in the
        labels, over the `frames` all of whose atoms have labels (None without any).
    """
    basis = change_of_basis(dataset.target).numpy()
    labels = dataset.select(dataset.labels)
    guesses = dataset.select(predictions)
    numbers = dataset.labelled_numbers
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
        "atoms": len(numbers),
        "rmse": _rmse(difference, dataset.target.n_components),
        "relative": relative_error(difference, reference),
        "elements": elements,
        "sum_rule": _sum_rule(dataset, predictions),
    }


def _sum_rule(dataset: TensorDataset, predictions: Sequence[Array]) -> dict[str, Any]:
    whole = [k for k, complete in enumerate(dataset.complete) if complete]
    return {
        "frames": len(whole),
        "predicted": _largest_sum([predictions[k] for k in whole]),
        "labels": _largest_sum([dataset.labels[k] for k in whole]),
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


def _largest_sum(tensors: Sequence[Array]) -> float | None:
    return max((float(np.abs(t.sum(axis=0)).max()) for t in tensors), default=None)
