"""The convolution against e3nn's own tensor product."""

import pytest
import torch
from e3nn import o3

from mimyria.models.convolution import Convolution
from mimyria.models.coupling import allowed_paths, float64_default
from mimyria.models.layers import RadialBasis

IRREPS = {
    "natural": ("4x0e + 3x1o + 2x2e", "0e + 1o + 2e", "4x0e + 3x1o + 2x2e"),
    "both": ("3x0e + 2x0o + 2x1o + 4x1e", "0e + 1o + 2e + 3o", "0e + 1e + 2e"),
    "scalars": ("5x0e", "0e + 1o + 2e + 3o", "2x0e + 2x1o + 1x3o"),
    "pgt": ("2x0e + 2x1o + 2x2e + 2x3o", "0e + 1o + 2e + 3o", "2x1o + 1x2o + 1x3o"),
}


def make(name):
    irreps = [o3.Irreps(text) for text in IRREPS[name]]
    with torch.random.fork_rng(), float64_default():
        torch.manual_seed(1)
        return irreps, Convolution(*irreps, (6, 7), 9.0).double()


def inputs(irreps, n_atoms=5, n_edges=31):
    generator = torch.Generator().manual_seed(2)

    def random(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    receivers = torch.randint(n_atoms, (n_edges,), generator=generator).sort().values
    senders = torch.randint(n_atoms, (n_edges,), generator=generator)
    sphere = o3.spherical_harmonics(irreps[1], random(n_edges, 3), normalize=True)
    features, radial = random(n_atoms, irreps[0].dim), random(n_edges, 6)
    return features, receivers, senders, sphere, radial


def by_tensor_product(convolution, irreps, arguments):
    """The naive way: e3nn's tensor product of every edge, then a loop over edges."""
    features, receivers, senders, sphere, radial = arguments
    paths = sorted(allowed_paths(*irreps), key=lambda p: p.left)
    mid = o3.Irreps([(path.mul, path.irrep) for path in paths])
    order = sorted(range(len(paths)), key=lambda k: paths[k].irrep)
    instructions = [
        (path.left, path.right, k, "uvu", True) for k, path in enumerate(paths)
    ]
    with float64_default():
        product = o3.TensorProduct(
            irreps[0], irreps[1], mid, instructions, shared_weights=False
        )
    mixed = convolution.mix_in(features)
    edges = product(mixed[senders], sphere, convolution.radial(radial))
    total = torch.zeros(len(features), mid.dim, dtype=torch.float64)
    for edge, receiver in enumerate(receivers.tolist()):
        total[receiver] += edges[edge]
    pieces = [total[:, mid.slices()[k]] for k in order]
    return convolution.mix_out(torch.cat(pieces, dim=1) * convolution.scale)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", IRREPS)
def test_convolution_equals_the_tensor_product_of_e3nn(name, training):
    irreps, convolution = make(name)
    arguments = inputs(irreps)
    found = convolution.train(training)(*arguments)
    wanted = by_tensor_product(convolution, irreps, arguments)
    assert (found - wanted).abs().max() < 1e-12 * wanted.abs().max()


@pytest.mark.parametrize("chunk", [1, 7, 31, 100])
def test_pieces_of_any_size_give_the_same_sum(chunk):
    irreps, convolution = make("natural")
    arguments = inputs(irreps)
    whole = convolution.train()(*arguments)
    convolution.chunk = chunk
    assert (convolution.eval()(*arguments) - whole).abs().max() < 1e-13


def test_gradients_of_weights_and_features_are_right():
    irreps, convolution = make("both")
    features, *rest = inputs(irreps, n_atoms=3, n_edges=4)
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: convolution(x, *rest), (features,))


def test_no_edges_give_the_message_zero():
    irreps, convolution = make("natural")
    arguments = inputs(irreps, n_edges=0)
    for training in (True, False):
        assert not convolution.train(training)(*arguments).any()


def test_radial_functions_vanish_smoothly_at_the_cutoff():
    basis = RadialBasis(8, 4.0)
    near = torch.tensor([4.0 - 1e-3, 4.0, 4.5], dtype=torch.float64)
    values = basis(near)
    assert values[0].abs().max() < 1e-7
    assert values[1:].abs().max() < 1e-15
    assert torch.isfinite(basis(torch.tensor([1e-6], dtype=torch.float64))).all()
