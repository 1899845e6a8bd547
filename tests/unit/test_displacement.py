"""The displacement route: index order, branches of periodic dipoles, verdicts."""

import numpy as np
import pytest

from mimyria.errors import CalculationError, SettingsError, ShapeError
from mimyria.reference import (
    agreement,
    apt_from_dipoles,
    apt_stencil,
    displaced_positions,
    pgt_from_polarizabilities,
    pgt_stencil,
    polarizability_from_dipoles,
    unwrapped_change,
)
from mimyria.units import ANGSTROM_PER_BOHR

TRICLINIC = np.array([[9.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-0.7, 1.1, 8.0]])
STEP = 5e-3


class Model:
    """M and α that are linear in the positions, with asymmetric derivatives."""

    def __init__(self, rng, n_atoms=4):
        self.apt = rng.normal(size=(n_atoms, 3, 3))
        pgt = rng.normal(size=(n_atoms, 3, 3, 3))
        self.pgt = pgt + pgt.transpose(0, 2, 1, 3)
        self.rest = rng.normal(size=(n_atoms, 3))

    def dipole(self, positions):
        return np.einsum("iac,ic->a", self.apt, positions)

    def polarizability(self, positions):
        return np.einsum("iabc,ic->ab", self.pgt, positions)

    def moved(self, function, atoms):
        positions = displaced_positions(self.rest, atoms, STEP)
        flat = [function(each) for each in positions.reshape(-1, *self.rest.shape)]
        return np.reshape(flat, (*positions.shape[:3], *np.shape(flat[0])))


def test_only_the_chosen_atom_moves_and_both_ways(rng):
    rest = rng.normal(size=(3, 3))
    moved = displaced_positions(rest, [2, 0], STEP)
    assert moved.shape == (2, 3, 2, 3, 3)
    for sample, atom in enumerate((2, 0)):
        for axis in range(3):
            for sign, plus_or_minus in enumerate((1.0, -1.0)):
                expected = np.zeros((3, 3))
                expected[atom, axis] = plus_or_minus * STEP
                found = moved[sample, axis, sign] - rest
                assert np.abs(found - expected).max() < 1e-15


def test_the_displacement_is_the_last_index_of_both_tensors(rng):
    model = Model(rng)
    atoms = [3, 1]
    P = apt_from_dipoles(model.moved(model.dipole, atoms), STEP)
    Q = pgt_from_polarizabilities(model.moved(model.polarizability, atoms), STEP)
    assert np.abs(P - model.apt[atoms]).max() < 1e-11
    assert np.abs(Q - model.pgt[atoms]).max() < 1e-11
    assert np.abs(P - model.apt[atoms].transpose(0, 2, 1)).max() > 0.1


@pytest.mark.parametrize("fields", [apt_stencil(2e-3), pgt_stencil(2e-3)])
def test_dipoles_in_fields_give_the_polarizability_without_their_even_part(rng, fields):
    alpha = rng.normal(size=(3, 3))
    alpha = alpha + alpha.T
    beta = 50 * rng.normal(size=(3, 3, 3))
    even = np.einsum("abc,kb,kc->ka", beta, fields, fields)
    dipoles = ANGSTROM_PER_BOHR * (0.7 + fields @ alpha + even)
    found = polarizability_from_dipoles(fields, dipoles)
    assert np.abs(found - alpha).max() < 1e-10
    # What is not symmetric in the dipole moments is noise, and averaged.
    skew = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]])
    noisy = dipoles + ANGSTROM_PER_BOHR * fields @ skew
    assert np.abs(polarizability_from_dipoles(fields, noisy) - alpha).max() < 1e-10


def test_branches_of_periodic_dipoles_do_not_reach_the_tensors(rng):
    model = Model(rng)
    dipoles = model.moved(model.dipole, [0, 1, 2, 3])
    jumps = rng.integers(-2, 3, size=dipoles.shape) @ TRICLINIC
    P = apt_from_dipoles(dipoles + jumps, STEP, TRICLINIC)
    assert np.abs(P - model.apt).max() < 1e-10
    assert np.abs(apt_from_dipoles(dipoles + jumps, STEP) - model.apt).max() > 100
    fields = apt_stencil(2e-3)
    alpha = 100 * np.eye(3)
    moments = ANGSTROM_PER_BOHR * fields @ alpha
    jumps = rng.integers(-2, 3, size=moments.shape) @ TRICLINIC
    found = polarizability_from_dipoles(fields, moments + jumps, TRICLINIC)
    assert np.abs(found - alpha).max() < 1e-9


def test_a_slab_has_branches_along_two_directions_only():
    slab = TRICLINIC * np.array([[1.0], [1.0], [0.0]])
    change = np.array([0.1, -0.2, 7.0])  # beyond a quarter of the row that is not there
    jump = 2 * TRICLINIC[0] - TRICLINIC[1]
    found = unwrapped_change(change + jump - np.array([0, 0, 7.0]), slab)
    assert np.abs(found - np.array([0.1, -0.2, 0.0])).max() < 1e-12
    assert unwrapped_change(change, np.zeros((3, 3))) == pytest.approx(change)


def test_a_change_that_could_be_on_two_branches_is_refused():
    assert unwrapped_change(0.24 * TRICLINIC[1], TRICLINIC) == pytest.approx(
        0.24 * TRICLINIC[1]
    )
    with pytest.raises(CalculationError, match=r"changes by 0\.45 of the quantum"):
        unwrapped_change(0.45 * TRICLINIC[1], TRICLINIC)
    with pytest.raises(CalculationError, match="leaves its branch open"):
        unwrapped_change(TRICLINIC[0] + 0.55 * TRICLINIC[2], TRICLINIC)


def test_equal_tensors_agree_and_a_transposed_one_does_not(rng):
    for name, size in (("apt", (2, 3, 3)), ("pgt", (2, 3, 3, 3))):
        tensors = rng.normal(size=size)
        found = agreement(name, tensors + 1e-6, tensors, 1e-4)
        assert found.verdict == "agree"
        assert found.sees_order
        assert found.largest == pytest.approx(1e-6)
        assert found.rms == pytest.approx(1e-6)
        assert found.relative == pytest.approx(1e-6 / found.scale)
        swapped = agreement(name, np.swapaxes(tensors, -1, -2), tensors, 1e-4)
        assert swapped.verdict == "transposed"
        assert swapped.relative > 0.1
        assert agreement(name, 1.001 * tensors, tensors, 1e-4).verdict == "differ"


def test_the_place_of_the_largest_difference_is_named(rng):
    tensors = rng.normal(size=(3, 3, 3))
    other = tensors.copy()
    other[2, 0, 1] += 0.25
    found = agreement("apt", other, tensors, 1e-4)
    assert found.where == (2, 0, 1)
    assert found.largest == pytest.approx(0.25)
    assert found.rms == pytest.approx(0.25 / np.sqrt(27))


def test_symmetric_tensors_are_known_not_to_see_the_order():
    assert not agreement("apt", np.eye(3)[None], np.eye(3)[None], 1e-4).sees_order


def test_what_does_not_belong_together_is_refused(rng):
    with pytest.raises(SettingsError, match=r"atoms to move must be 0 to 2.*\[3\]"):
        displaced_positions(np.zeros((3, 3)), [0, 3], STEP)
    with pytest.raises(SettingsError, match="found none"):
        displaced_positions(np.zeros((3, 3)), [], STEP)
    with pytest.raises(SettingsError, match="must be above 0, but is -1"):
        displaced_positions(np.zeros((3, 3)), [0], -1)
    with pytest.raises(ShapeError, match=r"shape \(n_moved, 3, 2, 3\)"):
        apt_from_dipoles(np.zeros((2, 3, 3)), STEP)
    with pytest.raises(ShapeError, match=r"shape \(n_moved, 3, 2, 3, 3\)"):
        pgt_from_polarizabilities(np.zeros((2, 3, 2, 3)), STEP)
    with pytest.raises(ShapeError, match=r"shape \(n_fields, 3\)"):
        polarizability_from_dipoles(apt_stencil(1e-3), np.zeros(3))
    fields = pgt_stencil(1e-3)[[0, 1, 3, 4, 5]]
    with pytest.raises(SettingsError, match="determine no tensor"):
        polarizability_from_dipoles(fields, np.zeros((5, 3)))
    with pytest.raises(ShapeError, match=r"both apts must have the shape \(n, 3, 3\)"):
        agreement("apt", np.zeros((1, 3, 3)), np.zeros((2, 3, 3)), 1e-4)
    with pytest.raises(ShapeError, match="must be finite"):
        agreement("apt", np.full((1, 3, 3), np.nan), np.zeros((1, 3, 3)), 1e-4)
