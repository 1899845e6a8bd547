"""What the tests of training share: three frames of water, a tiny network."""

from pathlib import Path

import pytest

from mimyria.data.dataset import read_dataset
from mimyria.models import NetworkSettings
from mimyria.targets import APT

WATER = Path(__file__).parents[2] / "data" / "water16-rpbe" / "configurations.extxyz"
TINY = NetworkSettings(
    channels=(4, 3, 2),
    lmax_sphere=2,
    parity="natural",
    n_layers=2,
    cutoff=2.5,
    n_radial=4,
    radial_width=8,
)


@pytest.fixture(scope="module")
def water():
    return read_dataset(WATER, (APT,)).subset([0, 1, 2])
