"""The network as one writes it with e3nn, with the weights of a `TensorNetwork`.

The yardstick of `benchmarks/network.py` and of the tests: `o3.TensorProduct` in the
mode "uvu" with radial weights of each edge, then `index_add`.
"""

import copy

from e3nn import o3
from torch import nn

from mimyria.models.coupling import allowed_paths, float64_default
from mimyria.models.layers import GatedLayer

__all__ = ["e3nn_network"]


class E3nnConvolution(nn.Module):
    """Same arguments and numbers as `Convolution`."""

    def __init__(self, convolution, irreps_sphere):
        super().__init__()
        irreps_in = convolution.mix_in.irreps_in
        paths = allowed_paths(irreps_in, irreps_sphere, convolution.mix_out.irreps_out)
        order = sorted(range(len(paths)), key=lambda k: paths[k].irrep)
        place = {k: number for number, k in enumerate(order)}
        self.product = o3.TensorProduct(
            irreps_in,
            irreps_sphere,
            [(paths[k].mul, paths[k].irrep) for k in order],
            [(p.left, p.right, place[k], "uvu", True) for k, p in enumerate(paths)],
            shared_weights=False,
        )
        self.radial = convolution.radial
        self.mix_in = convolution.mix_in
        self.mix_out = convolution.mix_out
        self.scale = convolution.scale

    def forward(self, features, receivers, senders, sphere, radial):
        mixed = self.mix_in(features)
        edges = self.product(mixed[senders], sphere, self.radial(radial))
        sums = edges.new_zeros(len(features), edges.shape[1])
        sums.index_add_(0, receivers, edges)
        return self.mix_out(sums * self.scale)


def e3nn_network(network):
    """A copy of a `TensorNetwork` that multiplies with e3nn's own tensor product."""
    dtype = network.embedding.dtype
    network = copy.deepcopy(network)
    for layer in network.layers:
        linear = layer.linear if isinstance(layer, GatedLayer) else layer
        with float64_default():
            linear.convolution = E3nnConvolution(
                linear.convolution, network.sphere.irreps_out
            ).to(dtype)
    return network.eval()
