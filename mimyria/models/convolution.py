"""The convolution: the one operation that costs time.

Only what TorchScript accepts. Features are flat tensors in e3nn's layout, where a block
is (channels, 2l + 1).
"""

import torch
from e3nn import o3
from e3nn.nn import FullyConnectedNet
from e3nn.util.jit import compile_mode
from torch import Tensor, nn

from mimyria.models.coupling import Path, allowed_paths, coupling, mid_irreps

__all__ = ["Convolution"]

# Edges per piece in inference, so that intermediate arrays stay in the cache of a core.
_CHUNK = 1024


@compile_mode("script")
class _SenderBlock(nn.Module):
    """All paths that start from one block of the sender's features."""

    couplings: Tensor
    path_of_column: Tensor

    def __init__(
        self, irreps_in: o3.Irreps, irreps_sphere: o3.Irreps, paths: list[Path]
    ) -> None:
        """Lay the coefficients of `paths`, all with the same `left`, side by side."""
        super().__init__()
        index = paths[0].left
        block = irreps_in[index]
        self.mul: int = block.mul
        self.dim: int = block.ir.dim
        self.n_paths: int = len(paths)
        dims = [path.irrep.dim for path in paths]
        self.n_columns: int = sum(dims)
        table = torch.zeros(
            irreps_sphere.dim, self.n_columns, self.dim, dtype=torch.float64
        )
        column = 0
        for path in paths:
            sphere = irreps_sphere.slices()[path.right]
            symbols = coupling(block.ir, irreps_sphere[path.right].ir, path.irrep)
            table[sphere, column : column + path.irrep.dim] = symbols.permute(1, 2, 0)
            column += path.irrep.dim
        self.register_buffer("couplings", table.flatten(1))
        self.register_buffer(
            "path_of_column",
            torch.arange(self.n_paths).repeat_interleave(torch.tensor(dims)),
        )

    def forward(self, features: Tensor, sphere: Tensor, weights: Tensor) -> Tensor:
        """Weighted products (n_edges, n_columns, channels).

        Args:
            features: (n_edges, 2l + 1, channels) — of the senders.
            sphere: (n_edges, dim_sphere) — spherical harmonics.
            weights: (n_edges, n_paths · channels) — radial weights.
        """
        matrices = (sphere @ self.couplings).view(-1, self.n_columns, self.dim)
        paths = weights.reshape(-1, self.n_paths, self.mul)
        if self.dim == 1:
            # Scalars: weigh them once for each path, not once for each column.
            return matrices * (paths * features).index_select(1, self.path_of_column)
        return torch.bmm(matrices, features) * paths.index_select(
            1, self.path_of_column
        )


@compile_mode("script")
class Convolution(nn.Module):
    """Sum over neighbours of features times spherical harmonics times radial weights.

    m_i = N^(−1/2) Σ_j Σ_paths w_path(r_ij) [x_j ⊗ Y(r_ij)]_path, then a linear map.
    Channels are not mixed in the product (e3nn's mode "uvu").

    The coupling coefficients are contracted with Y once per edge, to matrices that act
    on the features of the sender: the numbers of `e3nn.o3.TensorProduct` at a fraction
    of its cost.
    """

    sizes: list[tuple[int, int, int, int, int]]
    pieces: list[tuple[int, int, int]]

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_sphere: o3.Irreps,
        irreps_out: o3.Irreps,
        radial_sizes: tuple[int, int],
        n_neighbours: float,
        irreps_also: o3.Irreps | None = None,
    ) -> None:
        """Plan all paths from irreps_in and irreps_sphere to irreps of irreps_out.

        Args:
            irreps_in: of the node features.
            irreps_sphere: of the spherical harmonics.
            irreps_out: of the result.
            radial_sizes: numbers of radial inputs and of hidden units.
            n_neighbours: mean number of neighbours in the training data.
            irreps_also: what the products shall make besides irreps of irreps_out.
        """
        super().__init__()
        self.irreps_made = irreps_out + (irreps_also or o3.Irreps())
        paths = allowed_paths(irreps_in, irreps_sphere, self.irreps_made)
        self.irreps_mid, order = mid_irreps(paths)
        self.pieces = _pieces(paths, order)
        lefts = sorted({path.left for path in paths})
        blocks = [
            _SenderBlock(
                irreps_in, irreps_sphere, [path for path in paths if path.left == left]
            )
            for left in lefts
        ]
        self.blocks = nn.ModuleList(blocks)
        starts = [part.start for part in irreps_in.slices()]
        # For each block: first component, channels, 2l + 1, columns, radial weights.
        self.sizes = [
            (starts[left], b.mul, b.dim, b.n_columns, b.n_paths * b.mul)
            for left, b in zip(lefts, blocks, strict=True)
        ]
        self.n_weights: int = sum(path.mul for path in paths)
        self.scale: float = n_neighbours**-0.5
        self.chunk: int = _CHUNK
        self.radial = FullyConnectedNet(
            [radial_sizes[0], radial_sizes[1], self.n_weights], nn.functional.silu
        )
        self.mix_in = o3.Linear(irreps_in, irreps_in)
        self.mix_out = o3.Linear(self.irreps_mid, irreps_out)

    def forward(
        self,
        features: Tensor,
        receivers: Tensor,
        senders: Tensor,
        sphere: Tensor,
        radial: Tensor,
    ) -> Tensor:
        """Messages to all atoms, (n_atoms, dim_out); arguments as in `path_sums`."""
        sums = self.path_sums(features, receivers, senders, sphere, radial)
        messages: Tensor = self.mix_out(sums)
        return messages

    def path_sums(
        self,
        features: Tensor,
        receivers: Tensor,
        senders: Tensor,
        sphere: Tensor,
        radial: Tensor,
    ) -> Tensor:
        """Sums over neighbours of all products, before the last linear map.

        Args:
            features: (n_atoms, dim_in).
            receivers: (n_edges,) — atoms i.
            senders: (n_edges,) — atoms j.
            sphere: (n_edges, dim_sphere) — spherical harmonics of r_ij.
            radial: (n_edges, n_radial) — radial functions of |r_ij|.

        Returns:
            (n_atoms, irreps_mid.dim).
        """
        mixed = self.mix_in(features)
        inputs: list[Tensor] = []
        sums: list[Tensor] = []
        for start, mul, dim, n_columns, _ in self.sizes:
            block = mixed[:, start : start + mul * dim].reshape(-1, mul, dim)
            inputs.append(block.transpose(1, 2).contiguous())
            sums.append(mixed.new_zeros([mixed.size(0), n_columns, mul]))
        n_edges = receivers.size(0)
        step = max(n_edges, 1) if self.training else self.chunk
        for start in range(0, n_edges, step):
            stop = min(start + step, n_edges)
            self.add_messages(
                sums,
                inputs,
                receivers[start:stop],
                senders[start:stop],
                sphere[start:stop],
                radial[start:stop],
            )
        return self.join_paths(sums) * self.scale

    def add_messages(
        self,
        sums: list[Tensor],
        inputs: list[Tensor],
        receivers: Tensor,
        senders: Tensor,
        sphere: Tensor,
        radial: Tensor,
    ) -> None:
        """Add the messages of some edges to `sums`, one tensor for each block.

        Args:
            sums: (n_atoms, n_columns, channels) each; changed in place.
            inputs: (n_atoms, 2l + 1, channels) each — features of all atoms.
            receivers: (n_edges,).
            senders: (n_edges,).
            sphere: (n_edges, dim_sphere).
            radial: (n_edges, n_radial).
        """
        weights = self.radial(radial)
        used = 0
        for k, block in enumerate(self.blocks):
            width = self.sizes[k][4]
            features = inputs[k].index_select(0, senders)
            message = block(features, sphere, weights[:, used : used + width])
            sums[k].index_add_(0, receivers, message)
            used += width

    def join_paths(self, sums: list[Tensor]) -> Tensor:
        """Sums (n_atoms, n_columns, channels) of all blocks in e3nn's layout."""
        pieces: list[Tensor] = []
        for block, start, stop in self.pieces:
            piece = sums[block][:, start:stop].transpose(1, 2)
            pieces.append(piece.reshape(piece.size(0), -1))
        return torch.cat(pieces, dim=1)


def _pieces(paths: list[Path], order: list[int]) -> list[tuple[int, int, int]]:
    """For each path, in `order`: number of its sender block, first and last column."""
    numbers = {left: k for k, left in enumerate(sorted({path.left for path in paths}))}
    places, used = [], dict.fromkeys(numbers, 0)
    for path in paths:
        start = used[path.left]
        used[path.left] = start + path.irrep.dim
        places.append((numbers[path.left], start, used[path.left]))
    return [places[k] for k in order]
