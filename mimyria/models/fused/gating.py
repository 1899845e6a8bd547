"""From e3nn's gate to the fused one: which component becomes what.

It knows e3nn, and belongs to the making of a fused network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.nn import Gate
from torch import Tensor, nn

from mimyria.models.fused.blocks import Block, blocks_of
from mimyria.models.fused.layers import FusedGate

__all__ = ["fused_gate"]


def fused_gate(gate: Gate) -> tuple[FusedGate, list[Block]]:
    """The gate, and the blocks that it wants, in components of `gate.irreps_in`."""
    places = torch.arange(gate.irreps_in.dim, dtype=torch.float64).unsqueeze(0)
    scalars, gates, gated = ([int(k) for k in p[0]] for p in gate.sc(places))
    tensors = [
        Block(block.degree, tuple(gated[start] for start in block.starts))
        for block in blocks_of(gate.irreps_gated)
    ]
    # Gates stand in the order of the tensors' channels, which need not be by rising l.
    order = [start for _, start in sorted(_channel_starts(gate.irreps_gated))]
    gate_of = dict(zip((gated[start] for start in order), gates, strict=True))
    first = [*scalars, *(gate_of[start] for block in tensors for start in block.starts)]
    blocks = [Block(0, tuple(first)), *tensors]
    scales = (_norm(nn.functional.silu), _norm(torch.tanh), _norm(torch.sigmoid))
    n_even = sum(mul for mul, irrep in gate.irreps_scalars if irrep.p == 1)
    channels = [len(scalars), *(len(block.starts) for block in tensors)]
    return FusedGate(channels, scales, n_even), blocks


def _channel_starts(irreps: o3.Irreps) -> list[tuple[int, int]]:
    """Number and first component of each channel."""
    starts = sorted(start for block in blocks_of(irreps) for start in block.starts)
    return list(enumerate(starts))


def _norm(function: Callable[[Tensor], Tensor]) -> float:
    """The factor by which e3nn multiplies an activation."""
    one = torch.ones(1, dtype=torch.float64)
    return float(normalize2mom(function)(one) / function(one))
