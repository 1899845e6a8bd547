"""TensorNetwork: one equivariant network, used for either target.

species, edges ──► layers (convolution + self-connection, gate) ──► irreps of the
target ──► scale and shift of each species ──► Cartesian tensor of each atom.

It knows indices and vectors of edges; it knows no frame, no file and no unit.
"""

import numpy as np
import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from torch import Tensor, nn

from mimyria.data.scaling import IrrepBlock, Scaling
from mimyria.models.coupling import change_of_basis, float64_default, target_irreps
from mimyria.models.layers import GatedLayer, LinearLayer, RadialBasis
from mimyria.models.settings import NetworkSettings
from mimyria.targets import Target

__all__ = ["TensorNetwork", "build_network", "hidden_irreps", "irrep_blocks"]


def hidden_irreps(settings: NetworkSettings) -> o3.Irreps:
    """Irreps of the hidden features, scalars first."""
    parities = {"both": (1, -1), "natural": (0,)}[settings.parity]
    return o3.Irreps(
        [
            (mul, (ell, parity or (-1) ** ell))
            for ell, mul in enumerate(settings.channels)
            for parity in parities
        ]
    )


def irrep_blocks(target: Target) -> tuple[IrrepBlock, ...]:
    """How the components of a target fall into irreps; equal irreps one by one."""
    blocks, start = [], 0
    for mul, irrep in target_irreps(target):
        for _ in range(mul):
            blocks.append(IrrepBlock(str(irrep), start, start + irrep.dim))
            start += irrep.dim
    return tuple(blocks)


def _reachable(
    irreps_in: o3.Irreps, irreps_sphere: o3.Irreps, wanted: o3.Irreps
) -> o3.Irreps:
    """The part of `wanted` that products of the two inputs can make."""
    made = {
        irrep
        for block in irreps_in
        for other in irreps_sphere
        for irrep in block.ir * other.ir
    }
    return o3.Irreps([(block.mul, block.ir) for block in wanted if block.ir in made])


@compile_mode("script")
class TensorNetwork(nn.Module):
    """Equivariant message-passing network for one response tensor of each atom.

    `normalised` gives (y − shift)/scale in irreps, which training works with; `forward`
    gives the Cartesian tensor in the unit of the target.
    """

    shape: list[int]
    basis: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        target: Target,
        settings: NetworkSettings,
        n_species: int,
        n_neighbours: float,
        scaling: Scaling,
    ) -> None:
        """Make a network with random weights; see `build_network`."""
        super().__init__()
        basis = change_of_basis(target)
        self.shape = list(target.shape)
        self.symmetric: bool = "ijk=jik" in target.formula
        self.n_species: int = n_species
        self.pair_radials: bool = settings.pair_radials
        self.register_buffer("basis", basis)
        self.register_buffer("shift", torch.from_numpy(np.array(scaling.shift)))
        self.register_buffer("scale", torch.from_numpy(np.array(scaling.scale)))
        irreps_sphere = o3.Irreps.spherical_harmonics(settings.lmax_sphere)
        self.sphere = o3.SphericalHarmonics(
            irreps_sphere, normalize=True, normalization="component"
        )
        self.radial_basis = RadialBasis(settings.n_radial, settings.cutoff)
        self.embedding = nn.Parameter(torch.randn(n_species, settings.channels[0]))
        self.layers = nn.ModuleList(
            _make_layers(target, settings, irreps_sphere, n_species, n_neighbours)
        )

    def normalised(
        self, species: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor
    ) -> Tensor:
        """Network output in irreps, without scale and shift: (n_atoms, dim)."""
        sphere = self.sphere(vectors)
        radial = self.radial_basis(torch.linalg.vector_norm(vectors, dim=-1))
        if self.pair_radials:
            n_pairs = self.n_species * self.n_species
            pair = (
                species.index_select(0, receivers) * self.n_species
                + species.index_select(0, senders)
            ).unsqueeze(-1)
            kinds = torch.arange(n_pairs, device=pair.device)
            mask = (pair == kinds).to(radial.dtype).unsqueeze(-1) * self.n_species
            radial = (mask * radial.unsqueeze(-2)).flatten(1)
        features = self.embedding.index_select(0, species)
        for layer in self.layers:
            features = layer(features, species, receivers, senders, sphere, radial)
        return features

    def forward(
        self, species: Tensor, receivers: Tensor, senders: Tensor, vectors: Tensor
    ) -> Tensor:
        """Cartesian tensors of all atoms.

        Args:
            species: (n_atoms,) — index of the species.
            receivers: (n_edges,) — atoms i.
            senders: (n_edges,) — atoms j.
            vectors: (n_edges, 3) Å — r_j − r_i + S @ cell.

        Returns:
            (n_atoms, 3, 3) or (n_atoms, 3, 3, 3) in the unit of the target.
        """
        irreps = self.normalised(species, receivers, senders, vectors)
        scale = self.scale.index_select(0, species)
        shift = self.shift.index_select(0, species)
        flat = (irreps * scale + shift) @ self.basis
        cartesian = flat.reshape([flat.size(0)] + self.shape)  # noqa: RUF005
        if self.symmetric:
            # Exact symmetry, whatever order the matrix product sums in.
            cartesian = 0.5 * (cartesian + cartesian.transpose(1, 2))
        return cartesian


def _make_layers(
    target: Target,
    settings: NetworkSettings,
    irreps_sphere: o3.Irreps,
    n_species: int,
    n_neighbours: float,
) -> list[nn.Module]:
    """Hidden layers and the one that makes the output."""
    n_pairs = n_species**2 if settings.pair_radials else 1
    radial_sizes = (settings.n_radial * n_pairs, settings.radial_width)
    numbers = (radial_sizes, n_neighbours, n_species)
    hidden, output = hidden_irreps(settings), target_irreps(target)
    irreps = o3.Irreps([(settings.channels[0], "0e")])
    layers: list[nn.Module] = []
    for _ in range(settings.n_layers - 1):
        made = _reachable(irreps, irreps_sphere, hidden)
        layers.append(GatedLayer((irreps, irreps_sphere, made), *numbers))
        irreps = made
    layers.append(LinearLayer((irreps, irreps_sphere, output), *numbers))
    return layers


def build_network(
    target: Target,
    settings: NetworkSettings,
    n_species: int,
    n_neighbours: float = 30.0,
    scaling: Scaling | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> TensorNetwork:
    """A network with random weights that depend on `seed` alone.

    Args:
        target: what it predicts.
        settings: its architecture.
        n_species: number of species.
        n_neighbours: mean number of neighbours, which normalises the sums.
        scaling: shift and scale of the output; none if left out.
        seed: of the random weights; torch's own generator is left as it was.
        dtype: of weights and arithmetic. Constants are made in float64 first.
    """
    scaling = scaling or Scaling.neutral(n_species, target_irreps(target).dim)
    with torch.random.fork_rng(devices=[]), float64_default():
        torch.manual_seed(seed)
        network = TensorNetwork(target, settings, n_species, n_neighbours, scaling)
    return network.to(dtype)
