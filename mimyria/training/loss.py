"""The loss: mean squared error of normalised irreps, each irrep counted alike.

Of a joint network, each target counts alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mimyria.data.scaling import IrrepBlock

__all__ = ["component_weights", "irrep_loss"]


def component_weights(blocks: Sequence[IrrepBlock]) -> Tensor:
    """Weight of each component; sum 1.

    Every target has the same share, and within it every irrep.
    """
    shares = Counter(block.target for block in blocks)
    weights = np.concatenate(
        [
            np.full(
                block.stop - block.start,
                1.0 / (block.stop - block.start) / shares[block.target],
            )
            for block in blocks
        ]
    )
    return torch.from_numpy(weights / len(shares))


def irrep_loss(predicted: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Σ_m w_m <(predicted_m − wanted_m)²> over all labelled atoms.

    Args:
        predicted: (n_labelled, dim) — normalised, in the type of the network.
        wanted: (n_labelled, dim) — normalised, float64.
        weights: (dim,) — of `component_weights`.

    Source: docs/theory.md, eq. (85).
    """
    squares = (predicted.to(wanted.dtype) - wanted) ** 2
    return (squares * weights).sum(dim=1).mean()
