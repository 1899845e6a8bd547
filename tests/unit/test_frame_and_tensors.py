"""Frame, Tensors and Currents: shapes, index order, rotation, sum rules."""

import json

import numpy as np
import pytest

from mimyria import Currents, Frame, Tensors, currents
from mimyria.currents import VOIGT, from_voigt, to_voigt
from mimyria.errors import FrameError, ShapeError, UnitError
from mimyria.targets import APT, PGT, target_by_name


@pytest.fixture
def asymmetric_tensors(rng):
    """Tensors without any accidental symmetry: a transposed one shows at once."""
    pgt = rng.normal(size=(3, 3, 3, 3))
    return Tensors(rng.normal(size=(3, 3, 3)), pgt + pgt.transpose(0, 2, 1, 3))


def test_a_frame_of_the_wrong_shape_is_refused_with_both_shapes_named(water_molecule):
    with pytest.raises(
        ShapeError, match=r"positions must .* \(3, 3\), but has \(2, 3\)"
    ):
        Frame(
            water_molecule.numbers,
            water_molecule.positions[:2],
            water_molecule.cell,
            None,
            0,
        )


def test_the_volume_of_a_triclinic_cell_is_its_determinant(water_molecule):
    assert water_molecule.volume == pytest.approx(9.0 * 8.5 * 8.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_frame_that_is_not_finite_is_refused_with_the_row_named(water_molecule, bad):
    positions = water_molecule.positions.copy()
    positions[1, 2] = bad
    frame = Frame(water_molecule.numbers, positions, water_molecule.cell, None, step=7)
    with pytest.raises(FrameError, match=r"step 7: positions must be finite.*row 1"):
        frame.require_finite()


def test_tensors_of_different_length_do_not_go_together():
    with pytest.raises(ShapeError, match="same atoms, but apt has 2 and pgt 3"):
        Tensors(np.zeros((2, 3, 3)), np.zeros((3, 3, 3, 3)))


def test_the_dipole_velocity_contracts_the_second_index(
    water_molecule, asymmetric_tensors
):
    """Naive twin: dM_a/dt = Σ_i Σ_b ∂M_a/∂r_ib v_ib, written as loops."""
    expected = np.zeros(3)
    for i in range(3):
        for a in range(3):
            for b in range(3):
                expected[a] += (
                    asymmetric_tensors.apt[i, a, b] * water_molecule.velocities[i, b]
                )
    found = currents(water_molecule, asymmetric_tensors).dipole
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_the_polarizability_velocity_contracts_the_last_index(
    water_molecule, asymmetric_tensors
):
    expected = np.zeros((3, 3))
    for i in range(3):
        for a in range(3):
            for b in range(3):
                for c in range(3):
                    expected[a, b] += (
                        asymmetric_tensors.pgt[i, a, b, c]
                        * water_molecule.velocities[i, c]
                    )
    found = currents(water_molecule, asymmetric_tensors).polarizability
    np.testing.assert_allclose(from_voigt(found), expected, rtol=1e-12)


def test_currents_rotate_with_the_frame(water_molecule, asymmetric_tensors, rotation):
    before = currents(water_molecule, asymmetric_tensors)
    turned = Frame(
        water_molecule.numbers,
        water_molecule.positions @ rotation.T,
        water_molecule.cell @ rotation.T,
        water_molecule.velocities @ rotation.T,
        step=0,
    )
    after = currents(turned, asymmetric_tensors.rotated(rotation))
    np.testing.assert_allclose(after.dipole, rotation @ before.dipole, atol=1e-14)
    np.testing.assert_allclose(
        from_voigt(after.polarizability),
        rotation @ from_voigt(before.polarizability) @ rotation.T,
        atol=1e-14,
    )


def test_a_rigid_translation_of_converged_tensors_moves_nothing(
    peer_fixtures, water_molecule
):
    """Finite-field tensors of a real molecule: the sums of a translation vanish."""
    table = json.loads((peer_fixtures / "test_values.json").read_text())
    water = table["finite_field_water_RHF_631G"]
    tensors = Tensors(
        np.array(water["P_nab_e"]), np.array(water["Q_nabc_e2a0_per_Eh_per_bohr"])
    )
    residual = tensors.sum_rule_residual()
    assert np.abs(residual.apt).max() < 1e-8
    assert np.abs(residual.pgt).max() < 1e-5
    drift = Frame(
        water_molecule.numbers,
        np.array(water["coords_A"]),
        water_molecule.cell,
        np.tile([0.01, -0.02, 0.03], (3, 1)),
        step=0,
    )
    moved = currents(drift, tensors)
    assert np.abs(moved.dipole).max() < 1e-9
    assert np.abs(moved.polarizability).max() < 1e-6


def test_the_charge_of_the_cell_enters_the_sum_rule():
    ions = Tensors(np.tile(np.eye(3), (2, 1, 1)), None)
    residual = ions.sum_rule_residual(total_charge=2.0)
    assert residual.pgt is None
    np.testing.assert_allclose(residual.apt, 0.0, atol=1e-15)


def test_voigt_components_come_in_the_stated_order():
    tensor = np.array([[1.0, 4.0, 5.0], [4.0, 2.0, 6.0], [5.0, 6.0, 3.0]])
    axes = {"x": 0, "y": 1, "z": 2}
    by_name = [tensor[axes[u], axes[v]] for u, v in VOIGT]
    np.testing.assert_array_equal(to_voigt(tensor), by_name)
    np.testing.assert_array_equal(from_voigt(to_voigt(tensor)), tensor)


def test_a_current_needs_velocities(water_molecule, asymmetric_tensors):
    still = Frame(
        water_molecule.numbers, water_molecule.positions, water_molecule.cell, None, 4
    )
    with pytest.raises(FrameError, match="step 4: a current needs velocities"):
        currents(still, asymmetric_tensors)


def test_currents_have_three_and_six_components():
    with pytest.raises(ShapeError, match=r"polarizability must .* \(6,\)"):
        Currents(None, np.zeros((3, 3)))


def test_targets_say_order_and_unit():
    assert target_by_name("apt") is APT
    assert (APT.order, APT.unit, APT.n_components) == ("dM_a/dr_b", "e", 9)
    assert PGT.n_components == 27
    with pytest.raises(
        UnitError, match="Unknown target 'bec'; known targets: apt, pgt"
    ):
        target_by_name("bec")
