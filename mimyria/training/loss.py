"""The loss: mean squared error of normalised irreps.

By default each irrep counts alike, and of a joint network each target; on request each
component counts as much as the spectrum feels of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimyria.data.scaling import IrrepBlock, Scaling
from mimyria.frame import Array

__all__ = ["irrep_loss", "irrep_weights", "loss_weights", "spectral_weights"]


def irrep_weights(blocks: Sequence[IrrepBlock]) -> Array:
    """Weight of each component (dim,); sum 1.

    Every target has the same share, and within it every irrep.

    Source: docs/theory.md, eq. (85).
    """
    irreps = Counter(block.target for block in blocks)
    shares = [
        np.full(block.stop - block.start, 1 / (block.stop - block.start))
        / irreps[block.target]
        for block in blocks
    ]
    weights: Array = np.concatenate(shares) / len(irreps)
    return weights


def spectral_weights(
    blocks: Sequence[IrrepBlock],
    scaling: Scaling,
    species: NDArray[np.int64],
    masses: Array,
) -> Array:
    """Weights (n_species, dim) by which the loss is proportional to ε² of each target.

    The best constant has the loss 1, as by `irrep_weights`.

    Args:
        blocks: how the components fall into irreps.
        scaling: of the components.
        species: (n_labelled,) — of all labelled atoms of the training.
        masses: (n_species,).

    Source: docs/theory.md, eq. (94).
    """
    shares = np.bincount(species, minlength=len(masses)) / len(species)
    weights: Array = scaling.scale**2 / masses[:, None]
    targets = dict.fromkeys(block.target for block in blocks)
    for target in targets:
        own = [block for block in blocks if block.target == target]
        columns = slice(own[0].start, own[-1].stop)
        size = (shares[:, None] * weights[:, columns]).sum()
        weights[:, columns] /= size * len(targets)
    return weights


def loss_weights(by_irrep: Array, by_spectrum: Array, part: float) -> Tensor:
    """Weights (n_species, dim) of a loss that follows the spectrum to some part.

    Args:
        by_irrep: (dim,) — of `irrep_weights`.
        by_spectrum: (n_species, dim) — of `spectral_weights`.
        part: from 0 to 1.

    Source: docs/theory.md, eq. (94).
    """
    return torch.from_numpy((1 - part) * by_irrep + part * by_spectrum)


def irrep_loss(predicted: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Σ_m w_m (predicted_m − wanted_m)², summed over all labelled atoms.

    Args:
        predicted: (n_labelled, dim) — normalised, in the type of the network.
        wanted: (n_labelled, dim) — normalised, float64.
        weights: (n_labelled, dim) — those of each atom's species.

    Source: docs/theory.md, eq. (85).
    """
    return ((predicted.to(wanted.dtype) - wanted) ** 2 * weights).sum()
