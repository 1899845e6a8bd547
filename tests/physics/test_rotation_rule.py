"""The rule of rotation: M and α of a molecule come out of its tensors, errors show.

The tensors are those of an explicit model whose M and α are functions of the positions,
differentiated numerically, so that nothing of the formulas is used to make them.
"""

import numpy as np
import pytest

from mimyria.errors import FrameError, ShapeError
from mimyria.frame import Frame
from mimyria.rotationrule import rotation_rule
from mimyria.tensors import Tensors

CHARGES = np.array([-0.7, 0.5, 0.3, -0.1])
STEP = 1e-5


def frame_of(positions, pbc=(False, False, False)):
    return Frame(np.array([8, 1, 6, 7]), positions, 9.0 * np.eye(3), None, 0, pbc=pbc)


def distances(positions):
    ways = positions[:, None] - positions[None]
    return ways, np.linalg.norm(ways, axis=-1)


def dipole_of(positions, charge=0.0):
    """Charges that flow along each bond, the more the larger the whole molecule is.

    The latter makes its APT unsymmetric.
    """
    ways, lengths = distances(positions)
    driven = np.exp(-lengths) * np.subtract.outer(CHARGES, CHARGES)
    flow = np.einsum("ij,ijk->k", driven, ways)
    return (CHARGES + charge / 4) @ positions + 0.1 * lengths.sum() * flow


def alpha_of(positions):
    """Bond polarizabilities that depend on the lengths of all pairs."""
    ways, lengths = distances(positions)
    pairs = lengths > 0
    weights = np.where(pairs, 2.0 + lengths**2, 0.0)
    units = ways / np.where(pairs, lengths, 1.0)[..., None]
    along = np.einsum("ij,ija,ijb->ab", weights, units, units)
    return along + 0.3 * weights.sum() * np.eye(3)


def tensors_of(positions, charge=0.0):
    apt, pgt = np.empty((4, 3, 3)), np.empty((4, 3, 3, 3))
    for i, c in np.ndindex(4, 3):
        moved = np.zeros((4, 3))
        moved[i, c] = STEP
        plus, minus = positions + moved, positions - moved
        apt[i, :, c] = dipole_of(plus, charge) - dipole_of(minus, charge)
        pgt[i, :, :, c] = alpha_of(plus) - alpha_of(minus)
    return Tensors(apt / (2 * STEP), pgt / (2 * STEP))


@pytest.fixture(params=[1, 2, 3])
def positions(request):
    return np.random.default_rng(request.param).normal(size=(4, 3))


def anisotropic(alpha):
    return alpha - np.trace(alpha) / 3 * np.eye(3)


@pytest.mark.parametrize("charge", [0.0, -2.0])
def test_dipole_and_anisotropy_come_out_of_the_tensors(positions, charge):
    found = rotation_rule(frame_of(positions), tensors_of(positions, charge))
    np.testing.assert_allclose(found.dipole, dipole_of(positions, charge), atol=1e-8)
    np.testing.assert_allclose(
        found.anisotropy, anisotropic(alpha_of(positions)), atol=1e-8
    )
    assert found.dipole_residual < 1e-8
    assert found.anisotropy_residual < 1e-8


def test_only_the_dipole_of_an_ion_depends_on_the_origin(positions):
    shift = np.array([3.0, -5.0, 7.0])
    for charge in (0.0, 1.0):
        tensors = tensors_of(positions, charge)
        here = rotation_rule(frame_of(positions), tensors)
        there = rotation_rule(frame_of(positions + shift), tensors)
        moved = here.dipole + charge * shift
        np.testing.assert_allclose(there.dipole, moved, atol=1e-7)
        np.testing.assert_allclose(there.anisotropy, here.anisotropy, atol=1e-7)
        assert there.dipole_residual < 1e-7


def test_a_transposed_tensor_is_seen_where_translation_sees_nothing(positions):
    tensors = tensors_of(positions)
    swapped = Tensors(tensors.apt.swapaxes(1, 2), tensors.pgt.swapaxes(2, 3))
    assert np.abs(swapped.sum_rule_residual().apt).max() < 1e-8
    found = rotation_rule(frame_of(positions), swapped)
    assert found.dipole_residual > 0.01 * np.abs(dipole_of(positions)).max()
    assert found.anisotropy_residual > 0.01 * np.abs(alpha_of(positions)).max()


def test_what_is_left_over_is_the_least_that_any_dipole_and_any_alpha_leave(positions):
    """A least-squares fit of the unknowns, by a general solver."""
    rng = np.random.default_rng(5)
    tensors = Tensors(rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 3, 3)))
    both = tensors.pgt + tensors.pgt.swapaxes(1, 2)
    found = rotation_rule(frame_of(positions), Tensors(tensors.apt, both))

    def turned(tensor):
        ways = np.cross(np.eye(3)[:, None], positions[None])  # axis, atom, component
        return np.einsum("i...c,dic->...d", tensor, ways)

    M = np.eye(3)
    effects = np.array([np.cross(np.eye(3), each).T for each in M]).reshape(3, -1)
    change = turned(tensors.apt).ravel()
    fit, *_ = np.linalg.lstsq(effects.T, change, rcond=None)
    np.testing.assert_allclose(found.dipole, fit, atol=1e-12)
    rest = np.sqrt(np.mean((effects.T @ fit - change) ** 2))
    assert found.dipole_residual == pytest.approx(rest, rel=1e-10)

    basis = []
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        alpha = np.zeros((3, 3))
        alpha[a, b] = alpha[b, a] = 1.0
        basis.append(alpha)
    turns = [np.cross(np.eye(3)[d], np.eye(3)).T for d in range(3)]
    effects = np.array(
        [np.stack([t @ a + a @ t.T for t in turns], axis=-1).ravel() for a in basis]
    )
    change = turned(both).ravel()
    fit, *_ = np.linalg.lstsq(effects.T, change, rcond=None)
    alpha = anisotropic(np.tensordot(fit, basis, axes=1))
    np.testing.assert_allclose(found.anisotropy, alpha, atol=1e-12)
    rest = np.sqrt(np.mean((effects.T @ fit - change) ** 2))
    assert found.anisotropy_residual == pytest.approx(rest, rel=1e-10)


def test_one_tensor_alone_gives_its_half(positions):
    tensors = tensors_of(positions)
    assert rotation_rule(frame_of(positions), Tensors(tensors.apt)).anisotropy is None
    found = rotation_rule(frame_of(positions), Tensors(pgt=tensors.pgt))
    assert found.dipole is None
    assert found.dipole_residual is None


def test_what_has_no_rotation_is_refused(positions):
    with pytest.raises(FrameError, match="is for isolated molecules, but the frame"):
        rotation_rule(frame_of(positions, (False, True, False)), Tensors())
    with pytest.raises(ShapeError, match="apt must be that of 4 atoms, but has 2"):
        rotation_rule(frame_of(positions), Tensors(np.zeros((2, 3, 3))))
