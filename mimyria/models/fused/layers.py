"""Layers of the fused network: matrices for each l, one operator, a gate.

Features are a list of blocks (n_atoms, 2l + 1, channels), one for each l, with channels
of either parity side by side. Only what TorchScript accepts; constants come from
`fusing`, and nothing here needs e3nn.
"""

import torch
from torch import Tensor, nn

from mimyria.models.fused.weighing import FusedWeighing

__all__ = ["BlockLinear", "Edges", "FusedConvolution", "FusedGate", "FusedLayer"]

Edges = tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]
"""First edge of each receiver (n_atoms + 1,), senders, kinds, lengths, harmonics."""


class BlockLinear(nn.Module):
    """Linear map of one block, with weights of its own for each species or for all."""

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        """Take weights (channels_in, channels_out) or (n_species, …, …)."""
        super().__init__()
        self.by_species: bool = weight.dim() == 3
        self.register_buffer("weight", weight)

    def forward(self, block: Tensor, species: Tensor) -> Tensor:
        """Map (n_atoms, 2l + 1, channels_in) to (n_atoms, 2l + 1, channels_out)."""
        if not self.by_species:
            return torch.matmul(block, self.weight)
        n_atoms, dim = block.size(0), block.size(1)
        mapped = torch.matmul(block.reshape(n_atoms * dim, -1), self.weight)
        rows = species * n_atoms + torch.arange(n_atoms, device=species.device)
        own = mapped.view(self.weight.size(0) * n_atoms, -1).index_select(0, rows)
        return own.view(n_atoms, dim, self.weight.size(2))


class FusedConvolution(nn.Module):
    """Matrices before, the fused operator, and matrices after it."""

    table: Tensor
    couplings: Tensor
    plan: list[int]
    outputs: list[int]

    def __init__(
        self,
        mix_in: list[Tensor],
        mix_out: list[Tensor],
        table: Tensor,
        cutoff: float,
        plan: list[int],
        couplings: Tensor,
        outputs: list[int],
        weighing: FusedWeighing | None = None,
    ) -> None:
        """Take matrices for each block in and out; the rest as in `Problem`.

        Sums for l = 0 that only serve `weighing` have no matrix: they come first.
        """
        super().__init__()
        self.mix_in = nn.ModuleList([BlockLinear(weight) for weight in mix_in])
        self.mix_out = nn.ModuleList([BlockLinear(weight) for weight in mix_out])
        self.cutoff: float = cutoff
        self.plan = plan
        self.outputs = outputs
        self.unmixed: int = len(outputs) // 2 - len(mix_out)
        self.weighing = weighing
        self.register_buffer("table", table)
        self.register_buffer("couplings", couplings)

    def mix(self, blocks: list[Tensor], species: Tensor) -> list[Tensor]:
        """Blocks as the operator wants them, channels padded."""
        mixed: list[Tensor] = []
        for k, linear in enumerate(self.mix_in):
            mixed.append(linear(blocks[k], species))
        return mixed

    def forward(
        self, mixed: list[Tensor], species: Tensor, edges: Edges, start: int, stop: int
    ) -> list[Tensor]:
        """Messages to atoms start … stop − 1, one block for each l.

        Args:
            mixed: blocks of all atoms, from `mix`.
            species: (n_atoms,).
            edges: of all atoms.
            start: first receiver.
            stop: one past the last receiver.
        """
        rows, senders, kinds, lengths, sphere = edges
        sums: list[Tensor] = torch.ops.mimyria.convolve_v1(
            mixed,
            rows[start : stop + 1],
            senders,
            kinds,
            lengths,
            sphere,
            self.table,
            self.cutoff,
            self.plan,
            self.couplings,
            self.outputs,
        )
        messages: list[Tensor] = []
        for k, linear in enumerate(self.mix_out):
            messages.append(linear(sums[self.unmixed + k], species))
        if self.weighing is not None:
            messages = self.weighing(sums[0], messages)
        return messages


class FusedGate(nn.Module):
    """Scalars through silu (even) or tanh (odd), tensors times sigmoid of a scalar.

    The block l = 0 holds even scalars, odd scalars, then a gate for each other channel.
    """

    channels: list[int]

    def __init__(
        self, channels: list[int], scales: tuple[float, float, float], n_even: int
    ) -> None:
        """Take the channels of each block, l = 0 first, and factors of the functions.

        Args:
            channels: of each block after the gate.
            scales: factors that give silu, tanh and sigmoid unit second moment.
            n_even: even scalars.
        """
        super().__init__()
        self.channels = channels
        self.n_even: int = n_even
        self.silu_scale: float = scales[0]
        self.tanh_scale: float = scales[1]
        self.sigmoid_scale: float = scales[2]

    def forward(self, blocks: list[Tensor]) -> list[Tensor]:
        """Gated blocks."""
        first = blocks[0]
        n_scalars = self.channels[0]
        scalars = nn.functional.silu(first[:, :, : self.n_even]) * self.silu_scale
        if n_scalars > self.n_even:
            odd = torch.tanh(first[:, :, self.n_even : n_scalars]) * self.tanh_scale
            scalars = torch.cat([scalars, odd], dim=2)
        gated = [scalars]
        gates = torch.sigmoid(first[:, :, n_scalars:]) * self.sigmoid_scale
        start = 0
        for k in range(1, len(blocks)):
            stop = start + self.channels[k]
            gated.append(blocks[k] * gates[:, :, start:stop])
            start = stop
        return gated


class FusedLayer(nn.Module):
    """Convolution plus self-connection, then a gate unless it is the last layer."""

    sources: list[int]

    def __init__(
        self,
        convolution: FusedConvolution,
        self_connection: list[Tensor],
        sources: list[int],
        gate: FusedGate | None,
        receivers_at_once: int,
    ) -> None:
        """Join the parts.

        Args:
            convolution: with the blocks of the result.
            self_connection: (n_species, channels_in, channels_out) for each block of
                the result; not used where it has no source.
            sources: block of the features that each block of the result comes from by
                the self-connection; −1 for none.
            gate: of hidden layers.
            receivers_at_once: bounds the memory of what the operator returns; sixteen
                times as many on a GPU.
        """
        super().__init__()
        self.convolution = convolution
        self.self_connection = nn.ModuleList(
            [BlockLinear(weight) for weight in self_connection]
        )
        self.sources = sources
        self.gate = gate
        self.receivers_at_once: int = receivers_at_once

    def forward(
        self, blocks: list[Tensor], species: Tensor, edges: Edges
    ) -> list[Tensor]:
        """New blocks of all atoms."""
        mixed = self.convolution.mix(blocks, species)
        n_atoms = species.size(0)
        new: list[Tensor] = []
        at_once = self.receivers_at_once
        if species.is_cuda:  # pieces of a GPU's size, or it would wait for each start
            at_once *= 16
        for start in range(0, n_atoms, at_once):
            stop = min(start + at_once, n_atoms)
            messages = self.convolution(mixed, species[start:stop], edges, start, stop)
            if n_atoms <= at_once:
                new = messages
            elif start == 0:
                new = [m.new_empty([n_atoms, m.size(1), m.size(2)]) for m in messages]
            if n_atoms > at_once:
                for k in range(len(new)):
                    new[k][start:stop] = messages[k]
        for k, linear in enumerate(self.self_connection):
            if self.sources[k] >= 0:
                new[k] += linear(blocks[self.sources[k]], species)
        if self.gate is not None:
            new = self.gate(new)
        return new
