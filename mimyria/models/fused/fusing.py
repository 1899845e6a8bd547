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
from torch import Tensor, nn

from mimyria.models.convolution import Convolution
from mimyria.models.coupling import float64_default
from mimyria.models.fused.blocks import Block, blocks_of, channel_matrices
from mimyria.models.fused.gating import fused_gate
from mimyria.models.fused.layers import FusedConvolution, FusedGate, FusedLayer
from mimyria.models.fused.network import FusedNetwork
from mimyria.models.fused.output import FusedOutput
from mimyria.models.fused.planning import Plan, make_plan
from mimyria.models.fused.tables import make_table
from mimyria.models.fused.weighing import FusedWeighing
from mimyria.models.layers import GatedLayer, LinearLayer, SpeciesLinear
from mimyria.models.network import TensorNetwork
from mimyria.models.weighed import WeighedConvolution

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
        gate, blocks = fused_gate(layer.gate)
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
    plan = make_plan(irreps_in, network.sphere.irreps_out, convolution.irreps_made)
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
        _from_sums(convolution, convolution.mix_out, plan, blocks),
        table.double(),
        cutoff,
        plan.flat,
        plan.all_couplings,
        plan.outputs,
        _weighing(convolution, plan, blocks),
    )


def _from_sums(
    convolution: Convolution, linear: o3.Linear, plan: Plan, blocks: list[Block]
) -> list[Tensor]:
    """Matrices from the sums of all paths, filled up, to blocks of the result."""
    sums = dict(zip(plan.degrees, plan.sums, strict=True))
    pairs = [
        (Block(block.degree, tuple(s for s in sums[block.degree] if s >= 0)), block)
        for block in blocks
    ]
    matrices = channel_matrices(linear, convolution.irreps_mid.dim, pairs)
    filled = []
    for matrix, (_, block) in zip(matrices, pairs, strict=True):
        starts = sums[block.degree]
        full = matrix.new_zeros(len(starts), matrix.shape[1])
        full[[k for k, start in enumerate(starts) if start >= 0]] = matrix
        filled.append(full * convolution.scale)
    return filled


def _weighing(
    convolution: Convolution, plan: Plan, blocks: list[Block]
) -> FusedWeighing | None:
    """The weight of messages, where there is one."""
    if not isinstance(convolution, WeighedConvolution):
        return None
    (weight,) = _from_sums(convolution, convolution.weigh, plan, [Block(0, (0,))])
    weighed = convolution.weighed
    return FusedWeighing(weight, [weighed[list(block.starts)] for block in blocks])


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
