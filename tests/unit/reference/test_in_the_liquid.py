"""Clusters in the field of the liquid: by fields or by tensors, it is the same."""

import numpy as np
import pytest

from mimyria import Frame, Tensors
from mimyria.errors import FormatError
from mimyria.reference import pgt_stencil
from mimyria.reference.localfield import field_inside, tensors_of_the_liquid
from mimyria.reference.referenceset import ReferenceFrame
from mimyria.units import ANGSTROM_PER_BOHR

VOLUME = 90.0
ALPHA = np.array([[30.0, 1.0, -2.0], [1.0, 28.0, 0.5], [-2.0, 0.5, 33.0]])


@pytest.fixture
def cluster(rng):
    P, Q = rng.normal(size=(3, 3, 3)), rng.normal(size=(3, 3, 3, 3))
    Q = Q + Q.swapaxes(1, 2)
    E = pgt_stencil(2e-3)
    forces = np.einsum("ka,iac->kic", E, P)
    forces += 0.5 * np.einsum("ka,kb,iabc->kic", E, E, Q)
    frame = Frame(
        np.array([8, 1, 1]), rng.normal(size=(3, 3)), np.zeros((3, 3)), None, 0,
        pbc=(False,) * 3,
    )  # fmt: skip
    dipoles = ANGSTROM_PER_BOHR * E @ ALPHA
    info = {"cluster_volume": VOLUME}
    return ReferenceFrame("0000", frame, E, forces, info, dipoles=dipoles)


def test_fields_inside_give_the_tensors_of_the_liquid(cluster):
    inside = field_inside(ALPHA, VOLUME)
    outside = cluster.fit()
    expected = tensors_of_the_liquid(Tensors(outside.apt, outside.pgt), inside)
    found = cluster.in_the_liquid().fit()
    assert np.abs(found.apt - expected.apt).max() < 1e-9
    assert np.abs(found.pgt - expected.pgt).max() < 1e-6
    assert np.abs(found.apt - outside.apt).max() > 0.1


def test_a_frame_that_is_no_cluster_is_refused(cluster):
    cluster.info.clear()
    with pytest.raises(FormatError, match="0000 is no cluster with dipole moments"):
        cluster.in_the_liquid()
