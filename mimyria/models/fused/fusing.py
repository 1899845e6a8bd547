"""From a trained `TensorNetwork` to a `FusedNetwork`: everything is worked out once.

Linear maps become one matrix for each l with all normalisations inside, the radial
network a table, e3nn's paths a plan. All of it in float64, then rounded once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.nn import Gate
from torch import Tensor, nn

from mimyria.models.convolution import Convolution
from mimyria.models.coupling import float64_default
from mimyria.models.fused.blocks import Block, blocks_of, channel_matrices
from mimyria.models.fused.layers import FusedConvolution, FusedGate, FusedLayer
from mimyria.models.fused.network import FusedNetwork
from mimyria.models.fused.output import FusedOutput
from mimyria.models.fused.planning import Plan, make_plan
from mimyria.models.fused.tables import make_table
from mimyria.models.layers import GatedLayer, LinearLayer, SpeciesLinear
from mimyria.models.network import TensorNetwork

__all__ = ["fuse_network"]

# Receivers whose sums over edges are held at a time: 40 MB of float64 for the largest
# preset.
_RECEIVERS_AT_ONCE: Final = 1024


def fuse_network(network: TensorNetwork, dtype: torch.dtype) -> FusedNetwork:
    """A network with the same numbers, made for inference alone.

    Args:
        network: with trained weights, left as it is; best in float64, so that its
            constants are rounded once.
        dtype: of the arithmetic.

    Raises:
        ModelError: the radial weights vary too fast for a table.
    """
    with torch.no_grad(), float64_default():
        precise = copy.deepcopy(network).double().cpu().eval()
        parts = [_parts(layer) for layer in precise.layers]
        fused = FusedNetwork(
            precise.embedding.detach().clone(),
            [_fused_layer(precise, *part, dtype) for part in parts],
            _fused_output(precise, parts[-1][1]),
            precise.sphere.irreps_out.lmax,
            precise.pair_radials,
        )
    return fused.to(dtype).eval()


def _parts(layer: nn.Module) -> tuple[LinearLayer, list[Block], FusedGate | None]:
    """The linear part of a layer, the blocks that it gives, and its gate."""
    if isinstance(layer, GatedLayer):
        gate, blocks = _fused_gate(layer.gate)
        return layer.linear, blocks, gate
    assert isinstance(layer, LinearLayer)
    return layer, blocks_of(layer.convolution.mix_out.irreps_out), None


def _fused_layer(
    network: TensorNetwork,
    linear: LinearLayer,
    blocks: list[Block],
    gate: FusedGate | None,
    dtype: torch.dtype,
) -> FusedLayer:
    """One layer, gated or linear."""
    convolution = linear.convolution
    irreps_in = convolution.mix_in.irreps_in
    plan = make_plan(
        irreps_in, network.sphere.irreps_out, convolution.mix_out.irreps_out
    )
    sources, matrices = _self_connection(linear.self_connection, irreps_in, blocks)
    return FusedLayer(
        _fused_convolution(network, convolution, plan, blocks, dtype),
        matrices,
        sources,
        gate,
        _RECEIVERS_AT_ONCE,
    )


def _fused_convolution(
    network: TensorNetwork,
    convolution: Convolution,
    plan: Plan,
    blocks: list[Block],
    dtype: torch.dtype,
) -> FusedConvolution:
    """Matrices, table and plan of one convolution that gives `blocks`."""
    irreps_in = convolution.mix_in.irreps_in
    before = blocks_of(irreps_in)
    mix_in = channel_matrices(
        convolution.mix_in, irreps_in.dim, list(zip(before, before, strict=True))
    )
    wide = [
        nn.functional.pad(matrix, (0, channels - matrix.shape[1]))
        for matrix, channels in zip(mix_in, plan.channels_in, strict=True)
    ]
    cutoff = network.radial_basis.cutoff
    table = make_table(_radial_weights(network, convolution, plan), cutoff, dtype)
    return FusedConvolution(
        wide,
        _mix_out(convolution, plan, blocks),
        table.double(),
        cutoff,
        plan.flat,
        plan.all_couplings,
        plan.outputs,
    )


def _mix_out(convolution: Convolution, plan: Plan, blocks: list[Block]) -> list[Tensor]:
    """Matrices from the sums of all paths, filled up, to blocks of the result."""
    by_degree = {block.degree: block for block in blocks}
    pairs = [
        (Block(degree, tuple(s for s in sums if s >= 0)), by_degree[degree])
        for degree, sums in zip(plan.degrees, plan.sums, strict=True)
    ]
    matrices = channel_matrices(convolution.mix_out, convolution.irreps_mid.dim, pairs)
    filled = []
    for matrix, sums in zip(matrices, plan.sums, strict=True):
        used = [k for k, start in enumerate(sums) if start >= 0]
        full = matrix.new_zeros(len(sums), matrix.shape[1])
        full[used] = matrix * convolution.scale
        filled.append(full)
    return filled


def _radial_weights(
    network: TensorNetwork, convolution: Convolution, plan: Plan
) -> Callable[[Tensor], Tensor]:
    """Radial weights (n_kinds, n, n_weights) as functions of distances (n,)."""
    columns = torch.tensor(plan.weights)
    # Radial functions of a pair stand in a place of their own, as in TensorNetwork.
    factor = network.n_species if network.pair_radials else 1
    n_kinds = network.n_species**2 if network.pair_radials else 1

    def weights(lengths: Tensor) -> Tensor:
        basis = network.radial_basis(lengths)
        made = []
        for kind in range(n_kinds):
            inputs = basis.new_zeros(len(basis), n_kinds, basis.shape[1])
            inputs[:, kind] = basis * factor
            values = convolution.radial(inputs.flatten(1))
            filling = values.new_zeros(len(values), 1)
            made.append(torch.cat([values, filling], dim=1)[:, columns])
        return torch.stack(made)

    return weights


def _self_connection(
    connection: SpeciesLinear, irreps_in: o3.Irreps, blocks: list[Block]
) -> tuple[list[int], list[Tensor]]:
    """Source of each block, −1 for none, and matrices for each species."""
    before = blocks_of(irreps_in)
    degrees = [block.degree for block in before]
    sources = [
        degrees.index(block.degree) if block.degree in degrees else -1
        for block in blocks
    ]
    pairs = [
        (before[source], block)
        for source, block in zip(sources, blocks, strict=True)
        if source >= 0
    ]
    of_species = [
        channel_matrices(
            partial(_with_weight, connection.linear, weight), irreps_in.dim, pairs
        )
        for weight in connection.weight
    ]
    found = iter([torch.stack(matrices) for matrices in zip(*of_species, strict=True)])
    unused = torch.zeros(1, 1, 1)
    return sources, [next(found) if source >= 0 else unused for source in sources]


def _with_weight(linear: o3.Linear, weight: Tensor, features: Tensor) -> Tensor:
    mapped: Tensor = linear(features, weight.expand(len(features), -1))
    return mapped


def _fused_gate(gate: Gate) -> tuple[FusedGate, list[Block]]:
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


def _fused_output(network: TensorNetwork, blocks: list[Block]) -> FusedOutput:
    """The output stage, its components in the order of the blocks."""
    order = [
        start + m
        for block in blocks
        for m in range(block.dim)
        for start in block.starts
    ]
    return FusedOutput(
        network.basis[order],
        network.shift[:, order],
        network.scale[:, order],
        network.mirror,
    )
