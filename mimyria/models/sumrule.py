"""Acoustic sum rules: Σ_i P_i = Q·1 and Σ_i Q_i = 0, kept by taking away what is left.

What is left over is taken from all atoms of a frame, from those of each element in
proportion to the variance of their tensors, which is where the errors are largest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mimyria.data.scaling import Scaling
from mimyria.frame import Array
from mimyria.targets import APT, Target

__all__ = ["species_shares", "wanted_sums", "without_residual"]


def species_shares(
    scaling: Scaling, targets: Sequence[Target], widths: Sequence[int]
) -> Array:
    """How much of what is left over each element takes: (n_species, n_columns).

    All components of one target have one weight, so that it holds in any basis.

    Args:
        scaling: of the targets in irreps.
        targets: what the network predicts.
        widths: columns of each target, in the basis that is wanted.
    """
    ends = np.cumsum([target.n_independent for target in targets])
    parts = np.split(scaling.scale, ends[:-1], axis=1)
    shares = np.stack([(part**2).mean(axis=1) for part in parts], axis=1)
    return np.repeat(shares, widths, axis=1)


def wanted_sums(charges: Sequence[float], targets: Sequence[Target]) -> Array:
    """What the tensors of each frame must add up to: (n_frames, n_components).

    Args:
        charges: total charge of each frame, e.
        targets: what the network predicts.

    Source: docs/theory.md, eq. (9).
    """
    parts = [
        np.outer(charges, np.eye(3).ravel())
        if target is APT
        else np.zeros((len(charges), target.n_components))
        for target in targets
    ]
    return np.concatenate(parts, axis=1)


def without_residual(
    values: Tensor, shares: Tensor, frames: Tensor, wanted: Tensor
) -> Tensor:
    """Values whose sum over the atoms of each frame is what it must be.

    Args:
        values: (n_atoms, n_components).
        shares: (n_atoms, n_components) — positive; only their ratios matter.
        frames: (n_atoms,) — number of the frame of each atom.
        wanted: (n_frames, n_components) — the sums.

    Source: docs/theory.md, eq. (95).
    """
    empty = torch.zeros_like(wanted)
    residual = empty.index_add(0, frames, values) - wanted
    total = empty.index_add(0, frames, shares)
    part = shares / total.index_select(0, frames)
    return values - part * residual.index_select(0, frames)
