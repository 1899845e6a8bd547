"""What the loss compares with labels: normalised irreps of the labelled atoms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mimyria.models.network import TensorNetwork
from mimyria.models.sumrule import without_residual
from mimyria.training.samples import Sample

__all__ = ["LabelledOutput"]


class LabelledOutput(nn.Module):
    """A network whose call gives normalised irreps of the labelled atoms of a batch.

    Where sum rules are built in, they hold for what the loss sees.
    """

    shares: Tensor

    def __init__(self, network: TensorNetwork, shares: Tensor | None) -> None:
        """Wrap a network.

        Args:
            network: the network.
            shares: (n_species, dim) of `species_shares` where sum rules are built in.
        """
        super().__init__()
        self.network = network
        self.keeps_sums = shares is not None
        self.register_buffer("shares", torch.zeros(0) if shares is None else shares)

    def forward(self, batch: Sample) -> Tensor:
        """(n_labelled, dim)."""
        normalised = self.network.normalised(
            batch.species, batch.receivers, batch.senders, batch.vectors
        )
        if self.keeps_sums:
            scale = self.network.scale.index_select(0, batch.species)
            shift = self.network.shift.index_select(0, batch.species)
            shares = self.shares.index_select(0, batch.species)
            values = without_residual(
                normalised * scale + shift, shares, batch.frames, batch.sums
            )
            normalised = (values - shift) / scale
        return normalised.index_select(0, batch.labelled)
