"""Errors of predictions: by element and irrep, for the spectrum, of the sum rule.

Only atoms with labels count. The sum rule needs the tensors of all atoms of a frame,
and is left out where some have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

from mimyria.data.dataset import TensorDataset
from mimyria.data.scaling import IrrepBlock, Scaling
from mimyria.frame import Array
from mimyria.models.coupling import change_of_basis
from mimyria.models.network import irrep_blocks
from mimyria.targets import APT, PGT, Target

__all__ = ["prediction_errors", "relative_error", "spectral_errors"]


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
    """Errors of predictions for labelled frames, for each target by name.

    Relative errors are those of the best constant: 1 means no better than the mean
    tensor of each element in the training data (zero for all but scalars).

    Args:
        dataset: the frames with their labels.
        predictions: for each frame, shaped like its labels.
        species: sorted atomic numbers of the model.
        scaling: of the model; its shift is the best constant.

    Returns:
        `frames`, `atoms` with labels, `rmse` of a Cartesian component and `relative` of
        these atoms; `spectral`: what a spectrum feels, see `spectral_errors`;
        `elements`: rmse and relative for each element and, under `irreps`, each irrep;
        `sum_rule`: largest component of Σ_i of a frame, predicted and in the labels,
        over the `frames` all of whose atoms have labels (None without any).
    """
    basis = change_of_basis(dataset.targets).numpy()
    labels = dataset.select(dataset.labels)
    difference = dataset.select(predictions) - labels
    kinds = np.searchsorted(np.asarray(species), dataset.labelled_numbers)
    in_irreps = difference @ basis.T, labels @ basis.T - scaling.shift[kinds]
    blocks = irrep_blocks(dataset.targets)
    masses = atomic_masses[dataset.labelled_numbers]
    found = {}
    for target in dataset.targets:
        columns = dataset.columns[target.name]
        own = [block for block in blocks if block.target == target.name]
        found[target.name] = {
            "frames": len(dataset),
            "atoms": len(labels),
            **_errors_by_element(dataset.labelled_numbers, in_irreps, own, target),
            "spectral": spectral_errors(
                difference[:, columns], labels[:, columns], masses, target
            ),
            "sum_rule": _sum_rule(dataset, predictions, columns),
        }
    return found


def spectral_errors(
    difference: Array, labels: Array, masses: Array, target: Target
) -> dict[str, dict[str, float]]:
    """Errors weighted as the spectrum weighs them, by velocities and so by 1/m.

    ε² = Σ_i |ΔP_i|²/m_i / Σ_i |P_i|²/m_i,  b = Σ_i P_i·ΔP_i/m_i / Σ_i |P_i|²/m_i;
    the integrated intensity is off by 2b + ε², and every spectrum by at most 2ε + ε² of
    its integral.

    Args:
        difference: (n_atoms, n_components) — predictions minus labels.
        labels: (n_atoms, n_components).
        masses: (n_atoms,).
        target: the target.

    Returns:
        `epsilon` and `bias` for each kind of spectrum: `ir`, or `raman` with its parts
        `isotropic` and `anisotropic`.

    Source: docs/theory.md, eq. (93).
    """
    parts = {"ir" if target is APT else "raman": (difference, labels)}
    if target is PGT:
        isotropic = _isotropic(difference), _isotropic(labels)
        parts["isotropic"] = isotropic
        parts["anisotropic"] = difference - isotropic[0], labels - isotropic[1]
    return {name: _spectral(*pair, masses) for name, pair in parts.items()}


def _spectral(difference: Array, labels: Array, masses: Array) -> dict[str, float]:
    weights = 1 / masses[:, None]
    size = float((weights * labels**2).sum())
    if size == 0:
        return {"epsilon": 0.0, "bias": 0.0}
    return {
        "epsilon": float(np.sqrt((weights * difference**2).sum() / size)),
        "bias": float((weights * labels * difference).sum() / size),
    }


def _isotropic(pgt: Array) -> Array:
    """The part δ_ab Σ_d Q_ddc/3 of each tensor, (n_atoms, 27)."""
    traces = np.einsum("iaac->ic", pgt.reshape(-1, 3, 3, 3)) / 3
    tensors: Array = np.einsum("ab,ic->iabc", np.eye(3), traces)
    return tensors.reshape(len(pgt), -1)


def _errors_by_element(
    numbers: NDArray[np.int64],
    in_irreps: tuple[Array, Array],
    blocks: Sequence[IrrepBlock],
    target: Target,
) -> dict[str, Any]:
    """`rmse` and `relative` of one target, and `elements` with the same of each."""
    start, stop = blocks[0].start, blocks[-1].stop
    difference, reference = in_irreps
    own = difference[:, start:stop], reference[:, start:stop]
    elements = {}
    for number in sorted(set(numbers.tolist())):
        atoms = numbers == number
        elements[chemical_symbols[number]] = _element_errors(
            difference[atoms], reference[atoms], blocks, target.n_components
        )
    return {
        "rmse": _rmse(own[0], target.n_components),
        "relative": relative_error(*own),
        "elements": elements,
    }


def _sum_rule(
    dataset: TensorDataset, predictions: Sequence[Array], columns: slice
) -> dict[str, Any]:
    whole = [k for k, complete in enumerate(dataset.complete) if complete]
    return {
        "frames": len(whole),
        "predicted": _largest_sum([predictions[k][:, columns] for k in whole]),
        "labels": _largest_sum([dataset.labels[k][:, columns] for k in whole]),
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
    own = slice(blocks[0].start, blocks[-1].stop)
    return {
        "rmse": _rmse(difference[:, own], n),
        "relative": relative_error(difference[:, own], reference[:, own]),
        "irreps": irreps,
    }


def _rmse(difference: Array, n_components: int) -> float:
    """Root mean square error of one Cartesian component.

    The change of basis is orthonormal, so sums of squares are the same in irreps.
    """
    return float(np.sqrt((difference**2).sum() / (len(difference) * n_components)))


def _largest_sum(tensors: Sequence[Array]) -> float | None:
    return max((float(np.abs(t.sum(axis=0)).max()) for t in tensors), default=None)
