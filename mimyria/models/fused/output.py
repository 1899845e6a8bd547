"""From the last blocks to Cartesian tensors: the one place that knows the target.

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
    shape: list[int]

    def __init__(
        self,
        basis: Tensor,
        shift: Tensor,
        scale: Tensor,
        shape: list[int],
        symmetric: bool,
    ) -> None:
        """Take what `TensorNetwork` has, its rows in the order of `flatten`.

        Args:
            basis: (dim, n_components) — from irreps to Cartesian components.
            shift: (n_species, dim).
            scale: (n_species, dim).
            shape: of the tensor of one atom.
            symmetric: whether the tensor keeps when its first two indices change place.
        """
        super().__init__()
        self.register_buffer("basis", basis)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
        self.shape = shape
        self.symmetric: bool = symmetric

    def forward(self, blocks: list[Tensor], species: Tensor) -> Tensor:
        """Cartesian tensors (n_atoms, …) of blocks (n_atoms, 2l + 1, channels)."""
        irreps = torch.cat([block.flatten(1) for block in blocks], dim=1)
        scale = self.scale.index_select(0, species)
        shift = self.shift.index_select(0, species)
        flat = (irreps * scale + shift) @ self.basis
        cartesian = flat.reshape([flat.size(0)] + self.shape)  # noqa: RUF005
        if self.symmetric:
            # Exact symmetry, whatever order the matrix product sums in.
            cartesian = 0.5 * (cartesian + cartesian.transpose(1, 2))
        return cartesian
