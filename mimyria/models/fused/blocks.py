"""Irreps as blocks: all channels of one l side by side, whatever their parity.

It knows e3nn, and belongs to the making of a fused network, not to its use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor

__all__ = ["Block", "blocks_of", "channel_matrices"]


@dataclass(frozen=True, slots=True)
class Block:
    """Channels of one l.

    Attributes:
        degree: l.
        starts: first component of each channel in e3nn's flat layout.
    """

    degree: int
    starts: tuple[int, ...]

    @property
    def dim(self) -> int:
        """2 l + 1."""
        return 2 * self.degree + 1


def blocks_of(irreps: o3.Irreps) -> list[Block]:
    """Blocks of irreps by rising l; channels in their order."""
    starts: dict[int, list[int]] = {}
    for (mul, irrep), part in zip(irreps, irreps.slices(), strict=True):
        own = starts.setdefault(irrep.l, [])
        own += [part.start + channel * irrep.dim for channel in range(mul)]
    return [Block(degree, tuple(starts[degree])) for degree in sorted(starts)]


def channel_matrices(
    linear: Callable[[Tensor], Tensor],
    dim_in: int,
    pairs: Sequence[tuple[Block, Block]],
) -> list[Tensor]:
    """Matrices (channels_in, channels_out) of an equivariant linear map.

    They are the answers of the map to unit inputs, so that every normalisation of e3nn
    is in them, whatever its version does.

    Args:
        linear: from (n, dim_in) to (n, dim_out), in float64.
        dim_in: number of components of the input.
        pairs: blocks of input and output with equal l.
    """
    inputs = [start for block, _ in pairs for start in block.starts]
    units = torch.zeros(len(inputs), dim_in, dtype=torch.float64)
    units[torch.arange(len(inputs)), torch.tensor(inputs, dtype=torch.long)] = 1.0
    answers = linear(units)
    matrices, first = [], 0
    for block, other in pairs:
        last = first + len(block.starts)
        matrices.append(answers[first:last, list(other.starts)].clone())
        first = last
    return matrices
