"""Tables of radial weights: as good as promised, zero beyond the cutoff, or refused."""

import pytest
import torch

from mimyria.errors import ModelError
from mimyria.models.fused.interpolation import interpolated
from mimyria.models.fused.tables import ACCEPTED, make_table
from mimyria.models.layers import RadialBasis

CUTOFF = 5.0
DTYPES = [torch.float32, torch.float64]


def smooth(frequency=1.0):
    """Functions as a radial network makes them, and one that is zero."""
    basis = RadialBasis(6, CUTOFF)

    def weights(lengths):
        values = torch.tanh(frequency * basis(lengths))
        return torch.stack([values, torch.zeros_like(values)])

    return weights


@pytest.mark.parametrize("dtype", DTYPES)
def test_table_is_as_good_as_promised_between_zero_and_cutoff(dtype):
    weights = smooth()
    table = make_table(weights, CUTOFF, dtype)
    assert table.dtype == dtype
    lengths = torch.rand(2000, dtype=torch.float64) * (CUTOFF - 1e-6) + 1e-6
    wanted = weights(lengths)
    size = wanted.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
    found = [interpolated(kind[None], CUTOFF, None, lengths) for kind in table]
    errors = (torch.stack(found).double() - wanted).abs()
    assert (errors / size).max() < 0.1 * ACCEPTED[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_exactly_zero_at_the_cutoff(dtype):
    table = make_table(smooth(), CUTOFF, dtype)
    below, at_cutoff, beyond = interpolated(
        table, CUTOFF, None, torch.tensor([0.9, 1.0, 1.5]) * CUTOFF
    )
    assert below.any()
    assert not at_cutoff.any()
    assert not beyond.any()
    # What the last row says, too: nothing jumps at the cutoff.
    assert not table[:, -3:].any()


def test_functions_that_vary_faster_get_more_rows():
    coarse = make_table(smooth(), CUTOFF, torch.float32)
    fine = make_table(smooth(30.0), CUTOFF, torch.float32)
    assert fine.shape[1] > coarse.shape[1]


def test_functions_that_no_table_can_follow_are_refused():
    def noise(lengths):
        return torch.sin(1e6 * lengths).reshape(1, -1, 1)

    with pytest.raises(ModelError, match=r"radial weights vary too fast.*off by"):
        make_table(noise, CUTOFF, torch.float32)
