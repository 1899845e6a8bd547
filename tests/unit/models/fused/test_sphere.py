"""Own spherical harmonics against e3nn's."""

import pytest
import torch
from e3nn import o3

from mimyria.models.fused.sphere import spherical_harmonics


@pytest.mark.parametrize("lmax", [0, 1, 3, 6])
def test_spherical_harmonics_are_those_of_e3nn(lmax):
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    vectors = torch.cat([vectors, torch.eye(3).double(), -2.0 * torch.eye(3).double()])
    found = spherical_harmonics(vectors, vectors.norm(dim=1), lmax)
    wanted = o3.spherical_harmonics(
        o3.Irreps.spherical_harmonics(lmax), vectors, True, "component"
    )
    assert (found - wanted).abs().max() < 1e-12


def test_no_vectors_give_no_harmonics():
    found = spherical_harmonics(torch.zeros(0, 3), torch.zeros(0), 2)
    assert found.shape == (0, 9)
