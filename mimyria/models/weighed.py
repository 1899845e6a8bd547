"""Messages with a weight: an atom says how much of them it takes.

Only what TorchScript accepts. The networks of `mimyria import model` have it.
"""

import torch
from e3nn import o3
from e3nn.util.jit import compile_mode
from torch import Tensor

from mimyria.models.convolution import Convolution

__all__ = ["WeighedConvolution"]

_SCALAR = o3.Irrep(0, 1)


@compile_mode("script")
class WeighedConvolution(Convolution):
    """A convolution times a scalar that is made of its own sums.

    m_i = L(s_i) a(s_i) where the irrep is one of the features, else m_i = L(s_i)

    with s the sums over neighbours of all products, L and a linear. The weight a starts
    at zero, so that a new network is the chain of its self-connections, which deep
    networks learn from best.

    Source: docs/theory.md, eq. (99); De and Smith, NeurIPS 2020, arXiv:2002.10444.
    """

    weighed: Tensor

    def __init__(
        self,
        irreps_in: o3.Irreps,
        irreps_sphere: o3.Irreps,
        irreps_out: o3.Irreps,
        radial_sizes: tuple[int, int],
        n_neighbours: float,
    ) -> None:
        """As `Convolution`, which says what the arguments are."""
        scalar = o3.Irreps([(1, _SCALAR)])
        also = None if _SCALAR in irreps_out else scalar
        super().__init__(
            irreps_in, irreps_sphere, irreps_out, radial_sizes, n_neighbours, also
        )
        self.weigh = o3.Linear(self.irreps_mid, scalar)
        torch.nn.init.zeros_(self.weigh.weight)
        known = {block.ir for block in irreps_in}
        parts = [
            torch.full((block.dim,), float(block.ir in known)) for block in irreps_out
        ]
        self.register_buffer("weighed", torch.cat(parts))

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
        weights: Tensor = self.weigh(sums)
        return messages * (1.0 + self.weighed * (weights - 1.0))
