"""TensorNetwork: one equivariant network, for one target or for both at once.

species, edges ──► layers (convolution + self-connection, gate) ──► irreps of the
targets ──► scale and shift of each species ──► Cartesian tensors of each atom.

It knows indices and vectors of edges; it knows no frame, no file and no unit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from torch import Tensor, nn

from mimyria.data.scaling import IrrepBlock, Scaling
from mimyria.models.convolution import Convolution
from mimyria.models.coupling import change_of_basis, float64_default, target_irreps
from mimyria.models.layers import BumpBasis, GatedLayer, LinearLayer, RadialBasis
from mimyria.models.settings import NetworkSettings
from mimyria.models.weighed import WeighedConvolution
from mimyria.targets import Target

__all__ = [
    "TensorNetwork",
    "build_network",
    "hidden_irreps",
    "irrep_blocks",
    "reachable",
]


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


def irrep_blocks(targets: Sequence[Target]) -> tuple[IrrepBlock, ...]:
    """How the components of targets fall into irreps; equal irreps one by one."""
    blocks, start = [], 0
    for target in targets:
        for mul, irrep in target_irreps([target]):
            for _ in range(mul):
                stop = start + irrep.dim
                blocks.append(IrrepBlock(str(irrep), start, stop, target.name))
                start = stop
    return tuple(blocks)


def _mirror(targets: Sequence[Target]) -> Tensor:
    """For each Cartesian component the one that the symmetry says is equal to it."""
    mirrors, start = [], 0
    for target in targets:
        own = torch.arange(target.n_components).reshape(target.shape) + start
        swapped = own.transpose(0, 1) if target.symmetric_pair else own
        mirrors.append(swapped.reshape(-1))
        start += target.n_components
    return torch.cat(mirrors)


def reachable(
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
    """Equivariant message-passing network for response tensors of each atom.

    `normalised` gives (y − shift)/scale in irreps, which training works with; `forward`
    gives Cartesian tensors in the units of the targets. Several targets share all but
    the weights of the last layer.
    """

    basis: Tensor
    mirror: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        targets: Sequence[Target],
        settings: NetworkSettings,
        n_species: int,
        n_neighbours: float,
        scaling: Scaling,
    ) -> None:
        """Make a network with random weights; see `build_network`."""
        super().__init__()
        self.n_species: int = n_species
        self.pair_radials: bool = settings.pair_radials
        self.register_buffer("basis", change_of_basis(targets))
        self.register_buffer("mirror", _mirror(targets))
        self.register_buffer("shift", torch.from_numpy(np.array(scaling.shift)))
        self.register_buffer("scale", torch.from_numpy(np.array(scaling.scale)))
        irreps_sphere = o3.Irreps.spherical_harmonics(settings.lmax_sphere)
        self.sphere = o3.SphericalHarmonics(
            irreps_sphere, normalize=True, normalization="component"
        )
        self.radial_basis = _radial_basis(settings)
        self.embedding = nn.Parameter(torch.randn(n_species, settings.embedding_width))
        self.layers = nn.ModuleList(
            _make_layers(targets, settings, irreps_sphere, n_species, n_neighbours)
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
            (n_atoms, n_components) — those of all targets side by side, each tensor
            row-major, in the units of the targets.
        """
        irreps = self.normalised(species, receivers, senders, vectors)
        scale = self.scale.index_select(0, species)
        shift = self.shift.index_select(0, species)
        cartesian = (irreps * scale + shift) @ self.basis
        # Exact symmetry, whatever order the matrix product sums in.
        return 0.5 * (cartesian + cartesian.index_select(1, self.mirror))


def _radial_basis(settings: NetworkSettings) -> RadialBasis | BumpBasis:
    """The radial functions that the settings name."""
    if settings.radial_basis == "bumps":
        return BumpBasis(settings.n_radial, settings.cutoff)
    return RadialBasis(settings.n_radial, settings.cutoff)


def _make_layers(
    targets: Sequence[Target],
    settings: NetworkSettings,
    irreps_sphere: o3.Irreps,
    n_species: int,
    n_neighbours: float,
) -> list[nn.Module]:
    """Hidden layers and the one that makes the output."""
    n_pairs = n_species**2 if settings.pair_radials else 1
    radial_sizes = (settings.n_radial * n_pairs, settings.radial_width)
    kind = WeighedConvolution if settings.weighed_messages else Convolution
    rest = (radial_sizes, n_neighbours, n_species, kind)
    hidden, output = hidden_irreps(settings), target_irreps(targets)
    irreps = o3.Irreps([(settings.embedding_width, "0e")])
    layers: list[nn.Module] = []
    for _ in range(settings.n_layers - 1):
        made = reachable(irreps, irreps_sphere, hidden)
        layers.append(GatedLayer((irreps, irreps_sphere, made), *rest))
        irreps = made
    layers.append(LinearLayer((irreps, irreps_sphere, output), *rest))
    return layers


def build_network(
    targets: Sequence[Target],
    settings: NetworkSettings,
    n_species: int,
    n_neighbours: float = 30.0,
    scaling: Scaling | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> TensorNetwork:
    """A network with random weights that depend on `seed` alone.

    Args:
        targets: what it predicts.
        settings: its architecture.
        n_species: number of species.
        n_neighbours: mean number of neighbours, which normalises the sums.
        scaling: shift and scale of the output; none if left out.
        seed: of the random weights; torch's own generator is left as it was.
        dtype: of weights and arithmetic. Constants are made in float64 first.
    """
    scaling = scaling or Scaling.neutral(n_species, target_irreps(targets).dim)
    with torch.random.fork_rng(devices=[]), float64_default():
        torch.manual_seed(seed)
        network = TensorNetwork(targets, settings, n_species, n_neighbours, scaling)
    return network.to(dtype)
