"""Radial weights between the rows of a table; kernel.cpp has the same in C++.

Row 2 of a table is r = 0, rows are h apart, and the last but two is the cutoff. Between
two rows the polynomial through the three rows on either side gives the weights.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions, eq. 25.2.21.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimyria.models.fused.problem import POINTS

__all__ = ["interpolated", "lagrange"]


def interpolated(
    table: Tensor, cutoff: float, kinds: Tensor | None, lengths: Tensor
) -> Tensor:
    """Radial weights (n_edges, n_weights), zero from the cutoff on.

    Args:
        table: (n_kinds, n_rows, n_weights).
        cutoff: Å.
        kinds: (n_edges,) — table of each edge; None: all take the only one.
        lengths: (n_edges,) Å.
    """
    n_kinds, n_rows, n_weights = table.shape
    intervals = n_rows - (POINTS - 1)
    lengths = lengths.double()  # a place among the rows needs more digits than a weight
    place = lengths * (intervals / cutoff)
    left = place.long().clamp(min=0, max=intervals - 1)
    inside = (lengths < cutoff).to(table.dtype)
    offsets = left if kinds is None else left + kinds * n_rows
    rows = table.view(n_kinds * n_rows, n_weights)
    weights = rows.new_zeros([len(lengths), n_weights])
    for k, factor in enumerate(lagrange(place - left)):
        part = (factor.to(table.dtype) * inside)[:, None]
        weights.addcmul_(rows.index_select(0, offsets + k), part)
    return weights


def lagrange(u: Tensor) -> list[Tensor]:
    """Factors of `POINTS` neighbouring rows, u = 0 … 1 between the middle two."""
    nodes = [k - (POINTS // 2 - 1) for k in range(POINTS)]
    factors = []
    for node in nodes:
        factor = torch.ones_like(u)
        for other in nodes:
            if other != node:
                factor = factor * (u - other) / (node - other)
        factors.append(factor)
    return factors
