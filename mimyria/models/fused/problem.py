"""What the fused convolution is given: one formula, and the layout of every array.

    y_i[m3, u] = Σ_j w_u(r_ij) Σ_{m1, m2} C[m1, m2, m3] x_j[m1, u] Y_ij[m2]

for each path: a block of the sender's features times the spherical harmonics of one l
gives a block of the result. Channels u lie side by side in memory and their numbers are
multiples of eight, whatever the precision, so that a processor takes them as vectors;
the radial weights of channels that only fill up are zero. It knows tensors, and neither
e3nn nor the network around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from torch import Tensor

__all__ = ["PADDING", "POINTS", "PathPlan", "Problem", "padded"]

PADDING: Final = 8
"""Channels are padded to multiples of this."""

POINTS: Final = 6
"""Rows of a table between which radial weights are interpolated."""


def padded(channels: int) -> int:
    """The next multiple of `PADDING`."""
    return -(-channels // PADDING) * PADDING


class PathPlan(NamedTuple):
    """Where one path finds its numbers, and where its result goes.

    Attributes:
        input: number of the block of features.
        channel: its first channel in that block.
        n_channels: channels, a multiple of `PADDING`.
        dim_in: 2 l + 1 of the block.
        sphere: first of its spherical harmonics.
        dim_sphere: number of its spherical harmonics.
        weight: first of its radial weights.
        output: number of the block of the result.
        out_channel: its first channel in that block.
        dim_out: 2 l + 1 of the result.
        coupling: first of its coupling coefficients C[m1, m2, m3].
    """

    input: int
    channel: int
    n_channels: int
    dim_in: int
    sphere: int
    dim_sphere: int
    weight: int
    output: int
    out_channel: int
    dim_out: int
    coupling: int


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Arguments of one convolution.

    Attributes:
        features: (n_atoms, 2 l + 1, channels) for each block — of all senders.
        rows: (n_receivers + 1,) — first edge of each receiver, and the end of the last.
        senders: (n_edges,) — atom j of each edge, edges sorted by receiver.
        kinds: (n_edges,) — table of each edge; None: all take the only one.
        lengths: (n_edges,) Å.
        sphere: (n_edges, dim_sphere) — spherical harmonics.
        table: (n_kinds, n_rows, n_weights) — radial weights at r = (row − 2) h, where
            h = cutoff / (n_rows − 5).
        cutoff: Å; from there on all weights are zero.
        plan: rows of `PathPlan`, one after the other.
        couplings: coefficients of all paths, one after the other.
        outputs: 2 l + 1 and channels of each block of the result, in pairs.
    """

    features: list[Tensor]
    rows: Tensor
    senders: Tensor
    kinds: Tensor | None
    lengths: Tensor
    sphere: Tensor
    table: Tensor
    cutoff: float
    plan: list[int]
    couplings: Tensor
    outputs: list[int]

    @property
    def n_receivers(self) -> int:
        """Atoms that get a result."""
        return len(self.rows) - 1

    def paths(self) -> Iterator[PathPlan]:
        """All paths, in the order of their radial weights."""
        size = len(PathPlan._fields)
        for start in range(0, len(self.plan), size):
            yield PathPlan(*self.plan[start : start + size])

    def empty_outputs(self) -> list[Tensor]:
        """Blocks (n_receivers, 2 l + 1, channels) without values."""
        sizes = zip(self.outputs[::2], self.outputs[1::2], strict=True)
        return [self.sphere.new_empty([self.n_receivers, *size]) for size in sizes]
