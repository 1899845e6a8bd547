"""Layers of the network: radial basis, linear maps, message-passing layers.

Only what TorchScript accepts. Each layer is equivariant under rotation and inversion.
"""

import math

import torch
from e3nn import o3
from e3nn.nn import Gate
from e3nn.util.jit import compile_mode
from torch import Tensor, nn

from mimyria.models.convolution import Convolution

__all__ = ["BumpBasis", "GatedLayer", "LinearLayer", "RadialBasis", "SpeciesLinear"]


@compile_mode("script")
class RadialBasis(nn.Module):
    """Bessel functions times a cutoff polynomial, rapid ones damped.

    B_n(r) = (4/n) sin(nπr/r_c)/r · f(r/r_c), f(x) = 1 − 28x⁶ + 48x⁷ − 21x⁸

    The factor 1/n makes weights smooth in r unless the data demand otherwise: on the
    16-water data it lowers the test error of the APT from 15 to 13 %.

    Source: docs/theory.md, eq. (84); Gasteiger et al., ICLR 2020, arXiv:2003.03123,
    eqs. (7) and (8) with p = 6.
    """

    frequencies: Tensor
    amplitudes: Tensor

    def __init__(self, n_radial: int, cutoff: float) -> None:
        """Make the basis for 0 < r < cutoff (Å)."""
        super().__init__()
        self.cutoff = float(cutoff)
        waves = torch.arange(1, n_radial + 1, dtype=torch.float64)
        self.register_buffer("frequencies", waves * (math.pi / cutoff))
        self.register_buffer("amplitudes", 4.0 / waves)

    def forward(self, lengths: Tensor) -> Tensor:
        """Radial functions (n_edges, n_radial) of lengths (n_edges,) Å."""
        r = lengths.unsqueeze(-1)
        x = (r / self.cutoff).clamp(max=1.0)
        envelope = 1.0 - x**6 * (28.0 - 48.0 * x + 21.0 * x**2)
        return self.amplitudes * torch.sin(r * self.frequencies) * envelope / r


@compile_mode("script")
class BumpBasis(nn.Module):
    """Smooth functions around equally spaced distances, zero beyond their neighbours.

    B_n(r) = 1.14136 √N exp(2 − 2/(1 − d²)) for |d| < 1, d = (N + 1) r/r_c − n

    All of their derivatives vanish at r = 0 and at the cutoff.

    Source: docs/theory.md, eq. (98).
    """

    centres: Tensor

    def __init__(self, n_radial: int, cutoff: float) -> None:
        """Make the basis for 0 < r < cutoff (Å)."""
        super().__init__()
        self.cutoff = float(cutoff)
        self.per_spacing: float = (n_radial + 1) / cutoff
        self.amplitude: float = 1.14136 * math.sqrt(n_radial)
        centres = torch.arange(1, n_radial + 1, dtype=torch.float64)
        self.register_buffer("centres", centres)

    def forward(self, lengths: Tensor) -> Tensor:
        """Radial functions (n_edges, n_radial) of lengths (n_edges,) Å."""
        d = lengths.unsqueeze(-1) * self.per_spacing - self.centres
        # Outside, exp(−2000) is zero in any precision.
        inside = (1.0 - d * d).clamp(min=1e-3)
        return self.amplitude * torch.exp(2.0 - 2.0 / inside)


@compile_mode("script")
class SpeciesLinear(nn.Module):
    """Linear map of each irrep, with its own weights for every species."""

    def __init__(
        self, irreps_in: o3.Irreps, irreps_out: o3.Irreps, n_species: int
    ) -> None:
        """Make random weights of unit variance, as e3nn does."""
        super().__init__()
        self.linear = o3.Linear(
            irreps_in, irreps_out, internal_weights=False, shared_weights=False
        )
        self.weight = nn.Parameter(torch.randn(n_species, self.linear.weight_numel))

    def forward(self, features: Tensor, species: Tensor) -> Tensor:
        """Map (n_atoms, dim_in) to (n_atoms, dim_out); species (n_atoms,)."""
        mapped: Tensor = self.linear(features, self.weight.index_select(0, species))
        return mapped


def _make_gate(irreps: o3.Irreps) -> Gate:
    """Scalars through silu (even) or tanh (odd), tensors times sigmoid of a scalar."""
    scalars = o3.Irreps([block for block in irreps if block.ir.l == 0])
    tensors = o3.Irreps([block for block in irreps if block.ir.l > 0])
    gates = o3.Irreps([(block.mul, "0e") for block in tensors])
    activations = [
        nn.functional.silu if block.ir.p == 1 else torch.tanh for block in scalars
    ]
    return Gate(scalars, activations, gates, [torch.sigmoid] * len(gates), tensors)


@compile_mode("script")
class LinearLayer(nn.Module):
    """Convolution plus self-connection."""

    def __init__(
        self,
        irreps: tuple[o3.Irreps, o3.Irreps, o3.Irreps],
        radial_sizes: tuple[int, int],
        n_neighbours: float,
        n_species: int,
        kind: type[Convolution] = Convolution,
    ) -> None:
        """Make the layer; irreps are those of input, sphere and output."""
        super().__init__()
        self.convolution = kind(*irreps, radial_sizes, n_neighbours)
        self.self_connection = SpeciesLinear(irreps[0], irreps[2], n_species)

    def forward(
        self,
        features: Tensor,
        species: Tensor,
        receivers: Tensor,
        senders: Tensor,
        sphere: Tensor,
        radial: Tensor,
    ) -> Tensor:
        """New features (n_atoms, dim_out); arguments as in `Convolution`."""
        messages = self.convolution(features, receivers, senders, sphere, radial)
        new: Tensor = messages + self.self_connection(features, species)
        return new


@compile_mode("script")
class GatedLayer(nn.Module):
    """Convolution plus self-connection, then a gate."""

    def __init__(
        self,
        irreps: tuple[o3.Irreps, o3.Irreps, o3.Irreps],
        radial_sizes: tuple[int, int],
        n_neighbours: float,
        n_species: int,
        kind: type[Convolution] = Convolution,
    ) -> None:
        """Make the layer; irreps are those of input, sphere and output."""
        super().__init__()
        self.gate = _make_gate(irreps[2])
        before_gate = self.gate.irreps_in
        self.linear = LinearLayer(
            (irreps[0], irreps[1], before_gate),
            radial_sizes,
            n_neighbours,
            n_species,
            kind,
        )

    def forward(
        self,
        features: Tensor,
        species: Tensor,
        receivers: Tensor,
        senders: Tensor,
        sphere: Tensor,
        radial: Tensor,
    ) -> Tensor:
        """New features (n_atoms, dim_out); arguments as in `Convolution`."""
        new: Tensor = self.gate(
            self.linear(features, species, receivers, senders, sphere, radial)
        )
        return new
