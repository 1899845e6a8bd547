"""The weight of messages in the fused network: one scalar for each atom.

Only what TorchScript accepts; it needs no e3nn. `mimyria.models.weighed` says what it
is.
"""

import torch
from torch import Tensor, nn

__all__ = ["FusedWeighing"]


class FusedWeighing(nn.Module):
    """Blocks of messages times a scalar made of the sums for l = 0."""

    weight: Tensor
    weighed: Tensor
    channels: list[int]

    def __init__(self, weight: Tensor, weighed: list[Tensor]) -> None:
        """Take the linear map of the sums, and which channels are weighed.

        Args:
            weight: (channels of the sums for l = 0, 1).
            weighed: for each block of messages (channels,) — 1, or 0 for a channel that
                is left as it is.
        """
        super().__init__()
        self.channels = [len(each) for each in weighed]
        self.register_buffer("weight", weight)
        self.register_buffer("weighed", torch.cat(weighed))

    def forward(self, scalars: Tensor, messages: list[Tensor]) -> list[Tensor]:
        """Weighed messages.

        Args:
            scalars: (n_atoms, 1, channels) — sums for l = 0.
            messages: (n_atoms, 2l + 1, channels) each.
        """
        excess = torch.matmul(scalars, self.weight) - 1.0
        weighed: list[Tensor] = []
        start = 0
        for k, message in enumerate(messages):
            stop = start + self.channels[k]
            weighed.append(message * (1.0 + self.weighed[start:stop] * excess))
            start = stop
        return weighed
