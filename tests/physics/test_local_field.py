"""The field in a cluster: polarizable points in a sphere against Clausius–Mossotti."""

import numpy as np
import pytest

from mimyria.errors import IncompatibleError, ShapeError
from mimyria.reference import (
    field_inside,
    fit_tensors,
    pgt_stencil,
    tensors_of_the_liquid,
)
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_BOHR

CHARGE = 0.7


def dipole_fields(vectors):
    """(..., 3, 3) — field at r of a unit dipole at the origin, (3 rr − r²) / r⁵."""
    distances = np.linalg.norm(vectors, axis=-1)[..., None, None]
    outer = vectors[..., :, None] * vectors[..., None, :]
    return 3 * outer / distances**5 - np.eye(3) / distances**3


def sphere(radius, alpha):
    """APT of a charge in the middle of a sphere of lattice points, and α of the sphere.

    Points of polarizability alpha at (n + 1/2), in units of the lattice constant.
    """
    line = np.arange(-np.ceil(radius), np.ceil(radius)) + 0.5
    points = np.stack(np.meshgrid(line, line, line), axis=-1).reshape(-1, 3)
    points = points[np.linalg.norm(points, axis=1) < radius]
    n = len(points)
    apart = points[:, None] - points
    apart[np.arange(n), np.arange(n)] = 1.0
    coupling = dipole_fields(apart)
    coupling[np.arange(n), np.arange(n)] = 0.0
    matrix = np.eye(3 * n) / alpha - coupling.transpose(0, 2, 1, 3).reshape(3 * n, -1)
    dipoles = np.linalg.solve(matrix, np.tile(np.eye(3), (n, 1))).reshape(n, 3, 3)
    at_charge = np.eye(3) + np.einsum("nab,nbc->ac", dipole_fields(-points), dipoles)
    return CHARGE * at_charge.T, dipoles.sum(axis=0), n


@pytest.mark.parametrize("alpha", [0.03, 0.08])
def test_a_charge_in_a_polarizable_sphere_gets_the_tensor_of_the_bulk(alpha):
    # Of the lattice without end: (ε − 1) / (ε + 2) = 4π α / 3, P = q (ε + 2) / 3.
    ratio = 4 * np.pi / 3 * alpha
    bulk = CHARGE / (1 - ratio) * np.eye(3)
    apt, polarizability, n = sphere(5.2, alpha)
    inside = field_inside(polarizability / ANGSTROM_PER_BOHR**3, float(n))
    assert np.abs(inside - (1 - ratio) * np.eye(3)).max() < 0.02
    found = tensors_of_the_liquid(Tensors(apt[np.newaxis]), inside).apt[0]
    assert np.abs(found - bulk).max() < 0.02 * bulk[0, 0]
    # As computed it is off by the whole factor, and a larger sphere does not help.
    for radius in (3.2, 4.4):
        outside = sphere(radius, alpha)[0]
        assert outside[0, 0] / bulk[0, 0] == pytest.approx(1 - ratio, abs=0.02)


def test_both_tensors_come_back_from_forces_in_the_field_outside(rng):
    apt, zero = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3))
    pgt = rng.normal(size=(2, 3, 3, 3))
    pgt = pgt + pgt.swapaxes(1, 2)
    inside = np.eye(3) * 0.8 + 0.05 * rng.normal(size=(3, 3))
    fields = pgt_stencil(2e-3)
    within = fields @ inside.T
    forces = (
        zero
        + np.einsum("ka,iac->kic", within, apt)
        + 0.5 * np.einsum("ka,kb,iabc->kic", within, within, pgt) * ANGSTROM_PER_BOHR
    )
    fit = fit_tensors(fields, forces)
    outside = Tensors(fit.apt, fit.pgt)
    assert np.abs(outside.apt - apt).max() > 0.1
    found = tensors_of_the_liquid(outside, inside)
    assert np.abs(found.apt - apt).max() < 1e-9
    assert np.abs(found.pgt - pgt).max() < 1e-6


def test_a_volume_that_is_too_small_is_refused():
    with pytest.raises(IncompatibleError, match=r"Is 1 Å³ the volume of the whole"):
        field_inside(np.eye(3) * 10.0, 1.0)
    with pytest.raises(ShapeError, match=r"shape \(3, 3\), but has \(3,\)"):
        field_inside(np.ones(3), 1.0)
