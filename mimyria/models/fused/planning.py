"""The plan of a fused convolution: which path multiplies what, and where it stands.

Paths with the same three l and neighbouring channels become one, which joins features
of either parity. It knows e3nn, and belongs to the making of a fused network.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from e3nn import o3
from torch import Tensor

from mimyria.models.coupling import Path, allowed_paths, coupling, mid_irreps
from mimyria.models.fused.blocks import blocks_of
from mimyria.models.fused.problem import PathPlan, padded

__all__ = ["Plan", "make_plan"]


@dataclass(slots=True, eq=False)
class Plan:
    """Paths of one convolution, and where their numbers come from.

    Attributes:
        paths: in the order of their weights.
        couplings: coefficients of each path, float64.
        weights: for each radial weight the column of the radial network, −1 where the
            channel only fills up.
        degrees: l of each block of the result.
        sums: for each of these blocks and each of its channels the channel's first
            component in e3nn's irreps between product and last linear map, or −1.
        channels_in: channels of each block of features, filled up.
    """

    paths: list[PathPlan] = field(default_factory=list)
    couplings: list[Tensor] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    degrees: list[int] = field(default_factory=list)
    sums: list[list[int]] = field(default_factory=list)
    channels_in: list[int] = field(default_factory=list)

    @property
    def flat(self) -> list[int]:
        """As the operator takes it."""
        return [number for path in self.paths for number in path]

    @property
    def all_couplings(self) -> Tensor:
        """Coefficients of all paths, one after the other."""
        return torch.cat([values.flatten() for values in self.couplings])

    @property
    def outputs(self) -> list[int]:
        """2 l + 1 and channels of each block of the result."""
        pairs = zip(self.degrees, self.sums, strict=True)
        return [n for degree, sums in pairs for n in (2 * degree + 1, len(sums))]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One of e3nn's paths within a run: its columns and its place in the result."""

    mul: int
    column: int
    start: int
    dim: int


def make_plan(
    irreps_in: o3.Irreps, irreps_sphere: o3.Irreps, irreps_out: o3.Irreps
) -> Plan:
    """Plan all paths that `Convolution` has."""
    pieces = _pieces(allowed_paths(irreps_in, irreps_sphere, irreps_out))
    plan = Plan(degrees=[block.degree for block in blocks_of(irreps_out)])
    plan.sums = [[] for _ in plan.degrees]
    for number, block in enumerate(blocks_of(irreps_in)):
        entries = [
            k for k, (_, irrep) in enumerate(irreps_in) if irrep.l == block.degree
        ]
        plan.channels_in.append(padded(len(block.starts)))
        for right, sphere in enumerate(irreps_sphere.slices()):
            for degree in plan.degrees:
                parities = {p: o3.Irrep(degree, p) for p in (1, -1)}
                wanted = [
                    (k, right, parities[irreps_in[k].ir.p * irreps_sphere[right].ir.p])
                    for k in entries
                ]
                muls = [irreps_in[k].mul for k in entries]
                for channel, run in _runs(muls, [pieces.get(key) for key in wanted]):
                    left, other = irreps_in[entries[0]].ir, irreps_sphere[right].ir
                    couplings = coupling(left, other, parities[1])
                    _add_path(
                        plan, number, channel, sphere.start, degree, run, couplings
                    )
    return plan


def _pieces(paths: list[Path]) -> dict[tuple[int, int, o3.Irrep], _Piece]:
    """Columns and places of e3nn's paths by left and right entry and irrep."""
    _, order = mid_irreps(paths)
    starts, used = {}, 0
    for k in order:
        starts[k] = used
        used += paths[k].mul * paths[k].irrep.dim
    pieces, column = {}, 0
    for k, path in enumerate(paths):
        piece = _Piece(path.mul, column, starts[k], path.irrep.dim)
        pieces[path.left, path.right, path.irrep] = piece
        column += path.mul
    return pieces


def _runs(
    muls: list[int], pieces: list[_Piece | None]
) -> list[tuple[int, list[_Piece]]]:
    """First channel and pieces of each run of entries that have a path."""
    runs: list[tuple[int, list[_Piece]]] = []
    channel, in_run = 0, False
    for mul, piece in zip(muls, pieces, strict=True):
        if piece is not None and in_run:
            runs[-1][1].append(piece)
        elif piece is not None:
            runs.append((channel, [piece]))
        in_run = piece is not None
        channel += mul
    return runs


def _add_path(
    plan: Plan,
    number: int,
    channel: int,
    sphere: int,
    degree: int,
    run: list[_Piece],
    couplings: Tensor,
) -> None:
    """Put one run behind the paths that are there."""
    channels = padded(sum(piece.mul for piece in run))
    output = plan.degrees.index(degree)
    dim_in, dim_sphere, dim_out = couplings.shape
    path = PathPlan(
        input=number,
        channel=channel,
        n_channels=channels,
        dim_in=dim_in,
        sphere=sphere,
        dim_sphere=dim_sphere,
        weight=len(plan.weights),
        output=output,
        out_channel=len(plan.sums[output]),
        dim_out=dim_out,
        coupling=sum(c.numel() for c in plan.couplings),
    )
    plan.paths.append(path)
    plan.couplings.append(couplings.contiguous())
    for piece in run:
        plan.weights += [piece.column + k for k in range(piece.mul)]
        plan.sums[output] += [piece.start + k * piece.dim for k in range(piece.mul)]
    fill = [-1] * (channels - sum(piece.mul for piece in run))
    plan.weights += fill
    plan.sums[output] += fill
    plan.channels_in[number] = max(plan.channels_in[number], padded(channel + channels))
