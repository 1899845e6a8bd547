"""Tensors of the central molecule of growing clusters, with a real code (GFN1-xTB)."""

from pathlib import Path

import numpy as np
import pytest

from mimyria.io import read_extxyz
from mimyria.reference import apt_stencil, cut_cluster, fit_tensors
from mimyria.tensors import Tensors
from mimyria.units import BOHR_PER_ANGSTROM

WATER = Path(__file__).parents[1] / "data" / "water16-rpbe" / "configurations.extxyz"


def forces(frame, field):
    """(n_atoms, 3) Eh/a0 of GFN1-xTB in a homogeneous field (3,) a.u."""
    interface = pytest.importorskip("tblite.interface")
    from tblite._libtblite import ffi

    positions = frame.positions * BOHR_PER_ANGSTROM
    code = interface.Calculator("GFN1-xTB", frame.numbers, positions)
    code.set("verbosity", 0)
    code.set("accuracy", 0.01)
    code.add("electric-field", ffi.new("double[3]", field.tolist()))
    return -code.singlepoint().get("gradient")


@pytest.mark.slow
def test_the_tensor_of_the_central_water_converges_with_the_radius():
    frame = next(read_extxyz(WATER)).frame
    fields = apt_stencil(2e-3)
    found = {}
    for radius in (0.0, 3.0, 4.0, 5.0):
        cluster = cut_cluster(frame, 0, radius)
        points = np.array([forces(cluster.frame, field) for field in fields])
        tensors = Tensors(fit_tensors(fields, points).apt)
        found[radius] = tensors.apt[cluster.mask]
        # All atoms of a neutral cluster together obey the sum rule, labelled or not.
        total = tensors.sum_rule_residual().apt
        assert np.abs(total).max() < 1e-6
    size = np.linalg.norm(found[5.0])
    errors = [np.linalg.norm(found[r] - found[5.0]) / size for r in (0.0, 3.0, 4.0)]
    # The molecule alone is no model of the liquid; its neighbours make it one.
    assert errors[0] > 0.3
    assert errors[1] < 0.07
    assert errors[2] < 0.03
