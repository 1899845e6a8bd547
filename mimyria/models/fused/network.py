"""FusedNetwork: a trained `TensorNetwork` as constants and few operators.

FusedCommittee: several of them, which share all that they need of the edges.

Same arguments and same numbers, many times faster; it cannot be trained. It is made by
`fusing.fuse_network`, which needs e3nn; this module, and a TorchScript file of it, do
not.
"""

import torch
from torch import Tensor, nn

from mimyria.models.fused.layers import Edges, FusedLayer
from mimyria.models.fused.operator import register_operator
from mimyria.models.fused.output import FusedOutput
from mimyria.models.fused.sphere import spherical_harmonics

__all__ = ["FusedCommittee", "FusedNetwork"]


class FusedNetwork(nn.Module):
    """Equivariant message-passing network for response tensors of each atom."""

    embedding: Tensor

    def __init__(
        self,
        embedding: Tensor,
        layers: list[FusedLayer],
        output: FusedOutput,
        lmax_sphere: int,
        pair_radials: bool,
    ) -> None:
        """Join the parts; see `fusing.fuse_network`."""
        super().__init__()
        register_operator()
        self.register_buffer("embedding", embedding)
        self.layers = nn.ModuleList(layers)
        self.output = output
        self.lmax_sphere: int = lmax_sphere
        self.pair_radials: bool = pair_radials

    def forward(
        self, species: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor
    ) -> Tensor:
        """Cartesian tensors of all atoms.

        Args:
            species: (n_atoms,) — index of the species.
            receivers: (n_edges,) — atoms i; fastest in rising order.
            senders: (n_edges,) — atoms j.
            vectors: (n_edges, 3) Å — r_j − r_i + S @ cell.

        Returns:
            (n_atoms, n_components), as `TensorNetwork`.
        """
        return self.answer(species, self.edges(species, receivers, senders, vectors))

    def answer(self, species: Tensor, edges: Edges) -> Tensor:
        """What `forward` gives, from what `edges` gave."""
        blocks = [self.embedding.index_select(0, species).unsqueeze(1)]
        for layer in self.layers:
            blocks = layer(blocks, species, edges)
        answer: Tensor = self.output(blocks, species)
        return answer

    def edges(
        self, species: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor
    ) -> Edges:
        """What all layers need of the edges; arguments as in `forward`."""
        if bool((receivers[1:] < receivers[:-1]).any()):
            order = torch.argsort(receivers, stable=True)
            receivers, senders = receivers[order], senders[order]
            vectors = vectors[order]
        n_atoms = species.size(0)
        atoms = torch.arange(n_atoms + 1, device=receivers.device)
        rows = torch.searchsorted(receivers, atoms)
        lengths = torch.linalg.vector_norm(vectors, dim=-1)
        sphere = spherical_harmonics(vectors, lengths, self.lmax_sphere)
        kinds: Tensor | None = None
        if self.pair_radials:
            n_species = self.embedding.size(0)
            of_receivers = species.index_select(0, receivers) * n_species
            kinds = of_receivers + species.index_select(0, senders)
        return rows, senders, kinds, lengths, sphere


class FusedCommittee(nn.Module):
    """Networks of one architecture for the same elements, asked at once."""

    def __init__(self, members: list[FusedNetwork]) -> None:
        """Join the members; all must need the same of the edges."""
        super().__init__()
        first, others = members[0], members[1:]
        self.first = first
        self.others = nn.ModuleList(others)

    def forward(
        self, species: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor
    ) -> Tensor:
        """Cartesian tensors of all atoms by all members; arguments as of one network.

        Returns:
            (n_atoms, n_members · n_components) — one member after the other.
        """
        edges = self.first.edges(species, receivers, senders, vectors)
        answers = [self.first.answer(species, edges)]
        for member in self.others:
            answers.append(member.answer(species, edges))  # type: ignore[operator]
        return torch.cat(answers, dim=1)
