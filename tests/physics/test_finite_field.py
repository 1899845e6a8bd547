"""Tensors from forces in fields: polynomials, noise, the detector, real DFT data."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mimyria import Tensors
from mimyria.errors import SettingsError, ShapeError
from mimyria.io.extxyz import read_extxyz
from mimyria.reference import (
    apt_stencil,
    detect_normalisation,
    fit_tensors,
    pgt_stencil,
    recommended_step,
    stencil_noise,
)
from mimyria.units import BOHR_PER_ANGSTROM

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
WATER = SHARED / "water16-rpbe"
PEER = SHARED / "peer-fixtures"


def polynomial(seed, n_atoms=4, *, cubic=0.0):
    """Random F(E), with an asymmetric P and a Q symmetric in its first two indices."""
    rng = np.random.default_rng(seed)
    zero = rng.normal(size=(n_atoms, 3))
    P = rng.normal(size=(n_atoms, 3, 3))
    Q = rng.normal(size=(n_atoms, 3, 3, 3))
    Q = 0.5 * (Q + Q.transpose(0, 2, 1, 3))
    third = cubic * rng.normal(size=(n_atoms, 3, 3, 3, 3))

    def forces(fields):
        linear = np.einsum("ka,iac->kic", fields, P)
        quadratic = 0.5 * np.einsum("ka,kb,iabc->kic", fields, fields, Q)
        rest = np.einsum("ka,kb,kd,iabdc->kic", fields, fields, fields, third) / 6
        return zero + linear + quadratic + rest

    return forces, zero, P, Q


def random_fields(seed, n_fields, step=2e-3):
    return step * np.random.default_rng(seed).normal(size=(n_fields, 3))


@pytest.mark.parametrize(
    "fields",
    [pgt_stencil(2e-3), pgt_stencil(0.1), random_fields(1, 10), random_fields(2, 25)],
    ids=["stencil", "wide stencil", "ten points", "many points"],
)
def test_a_quadratic_force_gives_its_coefficients_from_any_points(fields):
    forces, zero, P, Q = polynomial(3)
    fit = fit_tensors(fields, forces(fields))
    step = np.abs(fields).max()
    assert np.abs(fit.forces - zero).max() < 1e-12
    assert np.abs(fit.apt - P).max() < 1e-13 / step
    assert np.abs(fit.pgt - BOHR_PER_ANGSTROM * Q).max() < 1e-12 / step**2
    assert np.abs(fit.apt - P.transpose(0, 2, 1)).max() > 0.1  # order of the indices


def test_six_points_give_the_apt_alone():
    forces, _, P, _ = polynomial(4)
    fields = apt_stencil(1e-3)
    fit = fit_tensors(fields, forces(fields))
    assert np.abs(fit.apt - P).max() < 1e-10
    assert fit.pgt is None
    differences = [
        (forces(fields[[2 * a]]) - forces(fields[[2 * a + 1]]))[0] / 2e-3
        for a in range(3)
    ]
    assert np.abs(fit.apt - np.stack(differences, axis=1)).max() < 1e-10


def test_the_fit_of_thirteen_points_is_the_stencil_for_a_quadratic_force():
    """Q_aa and Q_ab by the formulas of central differences, component h."""
    forces, *_ = polynomial(5)
    h = 0.05
    fields = pgt_stencil(h)
    F = forces(fields)
    Q = fit_tensors(fields, F).pgt / BOHR_PER_ANGSTROM
    diagonal = [(F[1 + 2 * a] + F[2 + 2 * a] - 2 * F[0]) / h**2 for a in range(3)]
    xy = (F[7] + F[8] - 2 * F[0]) / (2 * h**2) - (diagonal[0] + diagonal[1]) / 2
    assert np.abs(Q[:, 0, 0] - diagonal[0]).max() < 1e-10
    assert np.abs(Q[:, 0, 1] - xy).max() < 1e-10


@pytest.mark.parametrize(
    ("factor", "verdict", "ratio"),
    [(1.0, "consistent", 1.0), (math.sqrt(0.5), "shorter", 0.70711),
     (math.sqrt(2.0), "longer", 1.41421), (0.9, "wrong", 0.9)],
)  # fmt: skip
def test_the_detector_knows_normalised_fields_from_components(factor, verdict, ratio):
    forces, *_ = polynomial(6)
    believed = pgt_stencil(2e-3)
    applied = believed.copy()
    applied[7:] *= factor
    found = detect_normalisation(believed, forces(applied))
    assert found.verdict == verdict
    assert found.ratios == pytest.approx([ratio] * 3, abs=1e-5)
    # With the vectors that were applied all is well, whatever their length.
    assert detect_normalisation(applied, forces(applied)).verdict == "consistent"
    _, _, _, Q = polynomial(6)
    fit = fit_tensors(applied, forces(applied))
    assert np.abs(fit.pgt - BOHR_PER_ANGSTROM * Q).max() < 1e-6


def test_one_failed_calculation_is_found():
    forces, *_ = polynomial(7)
    fields = pgt_stencil(2e-3)
    values = forces(fields)
    values[9] = values[0]  # the field was never switched on
    assert detect_normalisation(fields, values).verdict == "wrong"


def test_the_noise_of_the_tensors_is_that_of_the_formulas():
    """Central differences against simulated noise; least squares is no worse."""
    h, sigma, n_atoms = 2e-3, 1e-6, 3000
    rng = np.random.default_rng(8)
    F = sigma * rng.normal(size=(13, n_atoms, 3))
    noise = stencil_noise(h, sigma)
    P = (F[1] - F[2]) / (2 * h)
    Qxx = (F[1] + F[2] - 2 * F[0]) / h**2
    Qyy = (F[3] + F[4] - 2 * F[0]) / h**2
    Qxy = (F[7] + F[8] - 2 * F[0]) / (2 * h**2) - (Qxx + Qyy) / 2
    assert P.std() == pytest.approx(noise.apt, rel=0.03)
    assert BOHR_PER_ANGSTROM * Qxx.std() == pytest.approx(noise.pgt_diagonal, rel=0.03)
    assert BOHR_PER_ANGSTROM * Qxy.std() == pytest.approx(
        noise.pgt_off_diagonal, rel=0.03
    )
    fields = pgt_stencil(h)
    fit = fit_tensors(fields, F)
    assert fit.residual == pytest.approx(sigma, rel=0.03)
    assert detect_normalisation(fields, F).force_noise == pytest.approx(sigma, rel=0.03)
    for a in range(3):
        assert fit.apt[:, a].std() == pytest.approx(fit.apt_error[a], rel=0.03)
        assert fit.apt_error[a] < noise.apt
        for b in range(3):
            found = fit.pgt[:, a, b].std()
            assert found == pytest.approx(fit.pgt_error[a, b], rel=0.03)


def test_truncation_falls_with_the_square_of_the_step():
    forces, _, P, _ = polynomial(9, cubic=20.0)
    errors = []
    for step in (4e-2, 2e-2, 1e-2):
        fields = apt_stencil(step)
        errors.append(np.abs(fit_tensors(fields, forces(fields)).apt - P).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=1e-6)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=1e-6)


def test_the_step_stays_below_a_quarter_of_the_breakdown():
    assert recommended_step(4.0, 12.4) == pytest.approx(1.6e-3, abs=5e-5)
    assert recommended_step(8.0, 8.0) == 2e-3
    with pytest.raises(SettingsError, match="gap and length must be above 0"):
        recommended_step(0.0, 10.0)


def test_what_cannot_be_fitted_is_refused():
    forces, *_ = polynomial(10)
    fields = pgt_stencil(2e-3)
    with pytest.raises(SettingsError, match="3 fields determine no tensor"):
        fit_tensors(fields[:3], forces(fields[:3]))
    with pytest.raises(SettingsError, match="all fields are zero"):
        fit_tensors(np.zeros((13, 3)), forces(fields))
    with pytest.raises(
        ShapeError, match=r"forces must have the shape \(13, n_atoms, 3\)"
    ):
        fit_tensors(fields, forces(fields)[:12])
    with pytest.raises(ShapeError, match=r"fields must have the shape \(n, 3\)"):
        fit_tensors(fields[:, :2], forces(fields))
    with pytest.raises(ShapeError, match="must be finite"):
        fit_tensors(fields, forces(fields) * np.nan)
    with pytest.raises(SettingsError, match="at least one diagonal pair"):
        detect_normalisation(apt_stencil(1e-3), forces(apt_stencil(1e-3)))


@pytest.mark.skipif(not WATER.is_dir(), reason=f"no reference data at {WATER}")
def test_dft_forces_of_water_give_the_published_tensors():
    frames = {
        int(frame.info["id"]): frame
        for frame in read_extxyz(WATER / "configurations.extxyz")
    }
    with np.load(WATER / "fields_and_forces.npz") as data:
        ids, fields, forces = data["ids"], data["fields"], data["forces"]
    assert len(ids) == 7
    for number, values in zip(ids, forces, strict=True):
        fit = fit_tensors(fields, values)
        expected = frames[int(number)].tensors
        assert np.abs(fit.apt - expected.apt).max() < 1e-7
        assert np.abs(fit.pgt - expected.pgt).max() < 1e-6
        assert np.abs(fit.apt - expected.apt.transpose(0, 2, 1)).max() > 0.05
        assert fit.residual < 6e-8
        found = detect_normalisation(fields, values)
        assert found.verdict == "consistent"
        assert found.ratios == pytest.approx([1.0] * 3, abs=1e-4)


@pytest.mark.skipif(not PEER.is_dir(), reason=f"no test values at {PEER}")
def test_stored_finite_field_tensors_of_one_molecule_obey_the_sum_rules():
    """Translation and rotation of a distorted water molecule; indices are not swapped.

    Σ_i P_i[a, b] e_bde r_ie = e_ade M_e and its analogue for Q.
    """
    stored = json.loads((PEER / "test_values.json").read_text())[
        "finite_field_water_RHF_631G"
    ]
    r = BOHR_PER_ANGSTROM * np.array(stored["coords_A"])
    P = np.array(stored["P_nab_e"])
    Q = np.array(stored["Q_nabc_e2a0_per_Eh_per_bohr"])
    dipole, alpha = np.array(stored["dipole_au"]), np.array(stored["alpha_au"])
    rest = Tensors(P, Q).sum_rule_residual()
    assert np.abs(rest.apt).max() < 1e-7
    assert np.abs(rest.pgt).max() < 1e-6
    e = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        e[a, b, c], e[b, a, c] = 1.0, -1.0
    turned = np.einsum("iab,bde,ie->ad", P, e, r)
    assert np.abs(turned - np.einsum("ade,e->ad", e, dipole)).max() < 2e-6
    swapped = np.einsum("iba,bde,ie->ad", P, e, r)
    assert np.abs(swapped - np.einsum("ade,e->ad", e, dipole)).max() > 1e-2
    turned = np.einsum("iabc,cde,ie->abd", Q, e, r)
    expected = np.einsum("ade,eb->abd", e, alpha)
    expected = expected + expected.transpose(1, 0, 2)
    assert np.abs(turned - expected).max() < 2e-5
    forces = np.einsum("ka,iac->kic", pgt_stencil(2e-3), P) + 0.5 * np.einsum(
        "ka,kb,iabc->kic", pgt_stencil(2e-3), pgt_stencil(2e-3), Q
    )
    fit = fit_tensors(pgt_stencil(2e-3), forces)
    assert np.abs(fit.apt - P).max() < 1e-12
    assert np.abs(fit.pgt - BOHR_PER_ANGSTROM * Q).max() < 1e-9
