"""Radial weights as a table over distance, in place of the network that makes them.

Weights depend on the distance alone. They are smooth and even functions of r (as
sin(kr)/r is), so the table goes on to r < 0 as the mirror image, and zero beyond the
cutoff, where they vanish with their first three derivatives. Between rows they are
interpolated by the polynomial through six rows; the error falls as h⁶.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from mimyria.errors import ModelError
from mimyria.models.fused.interpolation import interpolated
from mimyria.models.fused.problem import POINTS

__all__ = ["ACCEPTED", "make_table"]

Weights = Callable[[Tensor], Tensor]
"""From distances (n,) Å to radial weights (n_kinds, n, n_weights), in float64."""

_BEFORE: Final = POINTS // 2 - 1
"""Rows before r = 0."""

_FIRST_INTERVALS: Final = {torch.float32: 256, torch.float64: 1024}
_MOST_INTERVALS: Final = 1 << 14

_WANTED: Final = {torch.float32: 5e-7, torch.float64: 1e-9}
"""Deviation, relative to the largest value of each weight, at which refinement ends."""

ACCEPTED: Final = {torch.float32: 1e-5, torch.float64: 1e-8}
"""Largest relative deviation that a table may have."""


def make_table(weights: Weights, cutoff: float, dtype: torch.dtype) -> Tensor:
    """Table (n_kinds, intervals + 5, n_weights), refined until it is good enough.

    Args:
        weights: the functions to tabulate.
        cutoff: Å; the functions vanish from there on.
        dtype: of the table, float32 or float64.

    Raises:
        ModelError: the functions vary too fast for any table.
    """
    intervals = _FIRST_INTERVALS[dtype]
    while True:
        table = _tabulated(weights, cutoff, intervals).to(dtype)
        deviation = _deviation(table, weights, cutoff)
        if deviation <= _WANTED[dtype] or 2 * intervals > _MOST_INTERVALS:
            break
        intervals *= 2
    if not deviation <= ACCEPTED[dtype]:
        raise ModelError(
            f"The radial weights vary too fast for a table: with {intervals} intervals "
            f"up to {cutoff} Å it is off by {deviation:.1e} of the largest weight (at "
            f"most {ACCEPTED[dtype]:.0e} is accepted). Was the training stable?"
        )
    return table


def _tabulated(weights: Weights, cutoff: float, intervals: int) -> Tensor:
    """Rows at r = −2h … cutoff + 2h in float64."""
    r = torch.arange(intervals, dtype=torch.float64) * (cutoff / intervals)
    r[0] = 1e-6 * r[1]  # the limit r → 0 of even functions
    values = weights(r)
    mirrored = values[:, 1 : _BEFORE + 1].flip(1)
    beyond = torch.zeros_like(values[:, : _BEFORE + 1])
    return torch.cat([mirrored, values, beyond], dim=1)


def _deviation(table: Tensor, weights: Weights, cutoff: float) -> float:
    """Largest relative deviation in the middle of intervals, where it is largest."""
    intervals = table.shape[1] - (POINTS - 1)
    middles = torch.arange(intervals, dtype=torch.float64) + 0.5
    r = middles * (cutoff / intervals)
    wanted = weights(r)
    sizes = wanted.abs().amax(dim=1, keepdim=True)
    found = [interpolated(kind[None], cutoff, None, r) for kind in table]
    errors = (torch.stack(found).double() - wanted).abs()
    # A weight that is zero everywhere, as those that fill up, has no relative error.
    return float((errors / torch.where(sizes > 0, sizes, 1.0)).max())
