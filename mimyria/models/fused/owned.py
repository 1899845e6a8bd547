"""Answers for some atoms alone: each layer works for those that the next one asks.

Atoms stand in the order of their hops from those that are wanted. The last layer makes
these alone, the one before it also their neighbours, and so on. It knows how a fused
network is built, eager or TorchScript; any other network is asked about all atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mimyria.models.fused.layers import Edges

__all__ = ["answer_owned"]


def answer_owned(
    network: Any,  # noqa: ANN401 - eager or TorchScript
    species: Tensor,
    receivers: Tensor,
    senders: Tensor,
    vectors: Tensor,
    reached: Sequence[int],
) -> Tensor:
    """Tensors of the first atoms.

    Args:
        network: any network of ours.
        species: (n_atoms,) — index of the species.
        receivers: (n_edges,) — in rising order.
        senders: (n_edges,) — atoms j.
        vectors: (n_edges, 3) Å — r_j − r_i.
        reached: (n_layers + 1) — atoms that are at most 0, 1, … hops from a wanted one.

    Returns:
        (reached[0], n_components); as what the network gives for all atoms.
    """
    n_wanted = reached[0]
    members = _members(network)
    if any(len(_layers(member)) != len(reached) - 1 for member in members):
        members = []
    if not members:
        answer: Tensor = network(species, receivers, senders, vectors)
        return answer[:n_wanted]
    edges: Edges = members[0].edges(species, receivers, senders, vectors)
    return torch.cat(
        [_narrowing(member, species, edges, reached) for member in members], dim=1
    )


def _narrowing(
    network: Any,  # noqa: ANN401
    species: Tensor,
    edges: Edges,
    reached: Sequence[int],
) -> Tensor:
    """What one fused network says of the first atoms."""
    rows, senders, kinds, lengths, sphere = edges
    blocks = [network.embedding.index_select(0, species).unsqueeze(1)]
    steps = zip(_layers(network), reached[:0:-1], reached[-2::-1], strict=True)
    for layer, n_given, n_made in steps:
        n_edges = int(rows[n_made])
        # Receivers that nobody asks for have no edges.
        part = (
            rows[: n_given + 1].clamp(max=n_edges),
            senders[:n_edges],
            None if kinds is None else kinds[:n_edges],
            lengths[:n_edges],
            sphere[:n_edges],
        )
        blocks = [block[:n_made] for block in layer(blocks, species[:n_given], part)]
    answer: Tensor = network.output(blocks, species[: reached[0]])
    return answer


def _members(network: Any) -> list[Any]:  # noqa: ANN401
    """The fused networks in a network; none where it is of another kind."""
    if hasattr(network, "answer") and hasattr(network, "edges"):
        return [network]
    if hasattr(network, "first") and hasattr(network, "others"):
        return [network.first, *network.others.children()]
    return []


def _layers(network: Any) -> list[Any]:  # noqa: ANN401
    return list(network.layers.children())
