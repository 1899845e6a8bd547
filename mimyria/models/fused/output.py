"""From the last blocks to Cartesian tensors: the one place that knows the targets.

Only what TorchScript accepts; it needs no e3nn.
"""

import torch
from torch import Tensor, nn

__all__ = ["FusedOutput"]


class FusedOutput(nn.Module):
    """Scale and shift of each species, then Cartesian components."""

    basis: Tensor
    shift: Tensor
    scale: Tensor
    mirror: Tensor

    def __init__(
        self, basis: Tensor, shift: Tensor, scale: Tensor, mirror: Tensor
    ) -> None:
        """Take what `TensorNetwork` has, its rows in the order of `flatten`.

        Args:
            basis: (dim, n_components) — from irreps to Cartesian components.
            shift: (n_species, dim).
            scale: (n_species, dim).
            mirror: (n_components,) — for each component the one that is equal to it.
        """
        super().__init__()
        self.register_buffer("basis", basis)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.register_buffer("mirror", mirror)

    def forward(self, blocks: list[Tensor], species: Tensor) -> Tensor:
        """(n_atoms, n_components) of blocks (n_atoms, 2l + 1, channels)."""
        irreps = torch.cat([block.flatten(1) for block in blocks], dim=1)
        scale = self.scale.index_select(0, species)
        shift = self.shift.index_select(0, species)
        cartesian = (irreps * scale + shift) @ self.basis
        # Exact symmetry, whatever order the matrix product sums in.
        return 0.5 * (cartesian + cartesian.index_select(1, self.mirror))
