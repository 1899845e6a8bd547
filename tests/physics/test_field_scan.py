"""The best field strength: predicted from a scan, and found by trying."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import SettingsError, ShapeError
from mimyria.reference import (
    ErrorModel,
    apt_stencil,
    fit_tensors,
    fourth_order_stencil,
    pgt_stencil,
    scan_fields,
    stencil_noise,
)
from mimyria.reference.scanplot import plot_scan
from mimyria.units import BOHR_PER_ANGSTROM

PEER = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
STEPS = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
# Of water, RHF/6-31G; the PGT has an rms element of 3.7 e² a0² Eh⁻¹ Å⁻¹.
THIRD, FOURTH = 22.0, 138.0


def rms(array):
    return math.sqrt(float(np.mean(np.square(array))))


def scanned(forces, sigma, stencil=pgt_stencil, steps=STEPS, seed=0, **options):
    fields = np.stack([stencil(step) for step in steps])
    values = np.stack([forces(each) for each in fields])
    noise = np.random.default_rng(seed).normal(size=values.shape)
    return scan_fields(fields, values + sigma * noise, **options)


def true_errors(response, sigma, steps, n_repeats=8):
    """Root mean square errors of both tensors, by brute force."""
    rng = np.random.default_rng(99)
    found = []
    for step in steps:
        fields = pgt_stencil(step)
        exact = response.forces(fields)
        fits = [
            fit_tensors(fields, exact + sigma * rng.normal(size=exact.shape))
            for _ in range(n_repeats)
        ]
        pgt = BOHR_PER_ANGSTROM * response.pgt
        found.append(
            (rms([fit.apt - response.apt for fit in fits]),
             rms([fit.pgt - pgt for fit in fits]))
        )  # fmt: skip
    return np.array(found).T


@pytest.mark.parametrize("n_atoms", [3, 30])
@pytest.mark.parametrize("sigma", [1e-5, 1e-6, 1e-7, 1e-8, 1e-9])
def test_predicted_errors_are_the_true_ones_over_four_decades_of_noise(
    response, sigma, n_atoms
):
    true = response(1, n_atoms, third=THIRD, fourth=FOURTH)
    scan = scanned(true.forces, sigma)
    assert scan.force_noise == pytest.approx(sigma, rel=0.25)
    apt, pgt = true_errors(true, sigma, STEPS)
    for predicted, found in (
        (scan.apt_error(STEPS), apt),
        (scan.pgt_error(STEPS), pgt),
    ):
        assert (predicted < 2.0 * found).all()
        assert (predicted > 0.5 * found).all()
    assert (scan.apt.bound(STEPS, scan.force_noise) > 0.7 * apt).all()


@pytest.mark.parametrize("sigma", [1e-6, 1e-7, 1e-8, 1e-9])
def test_the_predicted_optimum_is_the_true_one(response, sigma):
    true = response(2, 30, third=THIRD, fourth=FOURTH)
    scan = scanned(true.forces, sigma)
    grid = np.geomspace(2e-4, 1e-2, 40)  # no step above the strongest is proposed
    apt, pgt = true_errors(true, sigma, grid)
    assert scan.best_for_apt == pytest.approx(grid[apt.argmin()], rel=0.35)
    assert scan.best_for_pgt == pytest.approx(grid[pgt.argmin()], rel=0.35)
    assert scan.best_for_apt <= scan.best <= scan.best_for_pgt
    both = (apt / rms(true.apt)) ** 2 + (pgt / rms(true.pgt) / BOHR_PER_ANGSTROM) ** 2
    best = np.interp(scan.best, grid, both)
    assert best < 1.5 * both.min()


def test_higher_derivatives_are_those_of_the_polynomial(response):
    true = response(3, 10, third=THIRD, fourth=FOURTH)
    exact = scanned(true.forces, 0.0)
    assert exact.third == pytest.approx(THIRD, rel=1e-5)
    assert exact.fourth == pytest.approx(FOURTH, rel=1e-3)
    assert exact.force_noise < 1e-13
    noisy = scanned(true.forces, 1e-9)
    assert noisy.third == pytest.approx(THIRD, rel=0.01)
    assert noisy.fourth == pytest.approx(FOURTH, rel=0.1)
    # Strong noise hides the quartic terms: no number then, but a bound.
    hidden = scanned(true.forces, 1e-6)
    assert hidden.third == pytest.approx(THIRD, rel=0.1)
    assert math.isnan(hidden.fourth)
    assert not hidden.diagonal.resolved
    assert hidden.diagonal.hidden > exact.diagonal.truncation


def test_next_orders_do_not_spoil_the_truncation(response):
    """∂⁵F/∂E⁵ makes the growth of the APT steeper than h² at the strong end."""
    true = response(4, 10, third=THIRD)
    fifth = np.random.default_rng(4).normal(size=(10, 3, 3))

    def forces(fields):
        return true.forces(fields) + 4e4 * np.tensordot(fields**5, fifth, (1, 1)) / 120

    scan = scanned(forces, 1e-9)
    assert scan.third == pytest.approx(THIRD, rel=0.02)
    assert scan.force_noise == pytest.approx(1e-9, rel=0.2)


def test_without_visible_truncation_the_strongest_field_is_best(response):
    scan = scanned(response(5, 10).forces, 1e-7)
    assert not scan.apt.resolved
    assert not scan.diagonal.resolved
    assert scan.best == scan.best_for_apt == scan.best_for_pgt == STEPS[-1]
    assert scan.apt.optimum(scan.force_noise) == math.inf
    # Beyond what was computed nothing is promised: the bound grows, the error does not.
    h = np.array([1e-2, 1e-1])
    assert np.diff(scan.apt_error(h)) < 0 < np.diff(scan.apt.bound(h, 1e-7))


def test_the_gap_limits_the_field(response):
    forces = response(6, 10, third=THIRD, fourth=FOURTH).forces
    free = scanned(forces, 1e-7)
    scan = scanned(forces, 1e-7, gap=4.0, length=12.4)
    assert free.limit == math.inf
    assert scan.limit == pytest.approx(1.57e-3, abs=2e-5)
    assert free.best_for_pgt > 5e-3
    assert scan.best_for_pgt == scan.best == pytest.approx(scan.limit, rel=1e-12)
    assert scanned(forces, 1e-7, gap=0.1, length=20.0).best < STEPS[0]
    with pytest.raises(SettingsError, match="give both"):
        scanned(forces, 1e-7, gap=4.0)


def test_six_points_give_the_noise_by_their_scatter(response):
    true = response(7, 30, third=THIRD)
    scan = scanned(true.forces, 1e-7, apt_stencil)
    assert np.isnan(scan.residuals).all()
    assert scan.force_noise == pytest.approx(1e-7, rel=0.1)
    assert scan.third == pytest.approx(THIRD, rel=0.05)
    # h_opt = (3 σ_F/F''')^(1/3) for the central difference.
    assert scan.apt.optimum(1e-7) == pytest.approx((3e-7 / THIRD) ** (1 / 3), rel=0.05)
    assert scan.diagonal is None
    assert math.isnan(scan.best_for_pgt)
    assert np.isnan(scan.pgt_error(STEPS)).all()
    assert scan.best == scan.best_for_apt


def test_the_optimum_is_that_of_the_formulas():
    """Central differences: gains 1/√2 and √6, truncation F'''/6 and F''''/12."""
    apt = ErrorModel(1, math.sqrt(0.5), 22.0 / 6, 0.0, 1.0)
    pgt = ErrorModel(2, math.sqrt(6.0), 138.0 / 12, 0.0, 1.0)
    assert apt.optimum(1e-7) == pytest.approx((3e-7 / 22.0) ** (1 / 3), rel=1e-12)
    assert pgt.optimum(1e-7) == pytest.approx(2.33 * (1e-7 / 138.0) ** 0.25, rel=1e-3)
    for model in (apt, pgt):
        best = model.optimum(1e-7)
        around = model.error(best * np.array([0.9, 1.0, 1.1]), 1e-7)
        assert around.argmin() == 1
    assert apt.noise(2e-3, 1e-7) == pytest.approx(stencil_noise(2e-3, 1e-7).apt)
    assert ErrorModel(1, 1.0, 0.0, 1.0, 1.0).optimum(1e-7) == math.inf


def test_the_order_of_the_strengths_does_not_matter(response):
    forces = response(8, 5, third=THIRD, fourth=FOURTH).forces
    fields = np.stack([pgt_stencil(step) for step in STEPS])
    values = np.stack([forces(each) for each in fields])
    turned = scan_fields(fields[::-1], values[::-1])
    assert turned.best == scan_fields(fields, values).best
    assert (np.diff(turned.steps) > 0).all()


def test_what_is_no_scan_is_refused(response):
    forces = response(9).forces
    with pytest.raises(SettingsError, match="at least 3 different field strengths"):
        scanned(forces, 0.0, steps=(1e-3, 1e-3, 2e-3))
    fields = np.stack([pgt_stencil(step) for step in STEPS])
    values = np.stack([forces(each) for each in fields])
    turned = fields.copy()
    turned[2] = turned[2, ::-1]
    with pytest.raises(ShapeError, match="their directions differ"):
        scan_fields(turned, values)
    with pytest.raises(ShapeError, match="a scan needs fields"):
        scan_fields(fields, values[:4])


def test_a_picture_of_the_scan_is_drawn(response, tmp_path):
    forces = response(10, third=THIRD, fourth=FOURTH).forces
    path = tmp_path / "scan.svg"
    plot_scan(scanned(forces, 1e-8, gap=4.0, length=12.4), path)
    text = path.read_text()
    assert "<svg" in text
    plot_scan(scanned(forces, 1e-8, apt_stencil), tmp_path / "apt.png")
    assert (tmp_path / "apt.png").stat().st_size > 5000
    with pytest.raises(SettingsError, match="must end in"):
        plot_scan(scanned(forces, 1e-8), tmp_path / "scan.docx")


def test_errors_of_the_fourth_order_set_fall_with_the_fourth_power(response):
    true = response(11, third=THIRD, fourth=FOURTH)
    random = np.random.default_rng(11)
    fifth, sixth = random.normal(size=(2, 4, 3, 3))

    def forces(fields):
        high = 4e4 * np.tensordot(fields**5, fifth, (1, 1)) / 120
        high += 4e6 * np.tensordot(fields**6, sixth, (1, 1)) / 720
        return true.forces(fields) + high

    found = []
    for step in (8e-3, 4e-3):
        fields = fourth_order_stencil(step)
        assert fields.shape == (25, 3)
        fit = fit_tensors(fields, forces(fields), degree=4)
        found.append((rms(fit.apt - true.apt),
                      rms(fit.pgt - BOHR_PER_ANGSTROM * true.pgt)))  # fmt: skip
    assert np.divide(*found) == pytest.approx([16.0, 16.0], rel=1e-3)
    # The same points with a quadratic only: second order, and a larger error.
    plain = fit_tensors(fields, forces(fields))
    assert rms(plain.apt - true.apt) > 30 * found[1][0]
    # Without fifth and sixth order nothing is left.
    exact = fit_tensors(fields, true.forces(fields), degree=4)
    assert rms(exact.apt - true.apt) < 1e-12
    assert rms(exact.pgt - BOHR_PER_ANGSTROM * true.pgt) < 1e-9


def test_the_fourth_order_set_has_a_third_more_noise():
    n_atoms, sigma, step = 3000, 1e-6, 2e-3
    rng = np.random.default_rng(12)
    fits = [
        fit_tensors(fields, sigma * rng.normal(size=(len(fields), n_atoms, 3)), degree)
        for fields, degree in ((pgt_stencil(step), 2), (fourth_order_stencil(step), 4))
    ]
    assert rms(fits[1].apt) / rms(fits[0].apt) == pytest.approx(1.34, rel=0.03)
    assert rms(fits[1].pgt) / rms(fits[0].pgt) == pytest.approx(1.29, rel=0.03)
    for fit in fits:
        assert fit.residual == pytest.approx(sigma, rel=0.02)
        assert rms(fit.apt) == pytest.approx(rms(fit.apt_error), rel=0.02)
        assert rms(fit.pgt) == pytest.approx(rms(fit.pgt_error), rel=0.02)


def test_degrees_that_the_fields_cannot_carry_are_refused(response):
    fields = pgt_stencil(2e-3)
    forces = response(13).forces(fields)
    with pytest.raises(SettingsError, match="no tensor in a fit of degree 4"):
        fit_tensors(fields, forces, degree=4)
    with pytest.raises(SettingsError, match="degree must be 2 to 4, but is 5"):
        fit_tensors(fields, forces, degree=5)
    axes = np.vstack([apt_stencil(2e-3), apt_stencil(4e-3)])
    true = response(13, third=THIRD)
    cubic = fit_tensors(axes, true.forces(axes), degree=3)
    assert rms(cubic.apt - true.apt) < 1e-12
    assert cubic.pgt is None


@pytest.fixture(scope="module")
def water_forces():
    """Forces on a distorted water molecule, RHF/6-31G, in a homogeneous field."""
    gto = pytest.importorskip("pyscf.gto")
    from pyscf import scf

    if not PEER.is_dir():
        pytest.skip(f"no test values at {PEER}")
    stored = json.loads((PEER / "test_values.json").read_text())[
        "finite_field_water_RHF_631G"
    ]
    molecule = gto.M(
        atom=list(zip("OHH", stored["coords_A"], strict=True)),
        basis="6-31g", unit="Angstrom", verbose=0,
    )  # fmt: skip
    kinetic_and_nuclear = molecule.intor("int1e_kin") + molecule.intor("int1e_nuc")
    r = molecule.intor("int1e_r")
    # <i| r_a ∇_b |j>
    slopes = molecule.intor("int1e_irp").reshape(3, 3, *r.shape[1:])
    start = scf.RHF(molecule).run(conv_tol=1e-12).make_rdm1()

    def forces(field):
        core = kinetic_and_nuclear + np.tensordot(field, r, 1)
        mean_field = scf.RHF(molecule)
        mean_field.conv_tol, mean_field.conv_tol_grad = 1e-12, 1e-9
        mean_field.get_hcore = lambda *_: core
        mean_field.kernel(start)
        assert mean_field.converged
        gradient = mean_field.nuc_grad_method()
        plain = gradient.hcore_generator(molecule)

        def generator(atom):
            first, last = molecule.aoslice_by_atom()[atom, 2:]
            extra = np.zeros((3, *core.shape))
            extra[:, :, first:last] = -np.tensordot(field, slopes, 1)[:, :, first:last]
            return plain(atom) + extra + extra.transpose(0, 2, 1)

        gradient.hcore_generator = lambda *_: generator
        charges = molecule.atom_charges()
        return -gradient.kernel() + np.outer(charges, field)

    return lambda fields: np.stack([forces(field) for field in fields]), stored


@pytest.mark.slow
def test_a_scan_of_water_gives_the_known_truncation_and_errors(water_forces):
    """Values measured for this molecule: F''' 22, F'''' 138, errors at two noises."""
    forces, stored = water_forces
    fields = np.stack([pgt_stencil(step) for step in STEPS])
    values = np.stack([forces(each) for each in fields])
    exact = scan_fields(fields, values)
    assert exact.third == pytest.approx(22.0, rel=0.02)
    assert exact.fourth == pytest.approx(138.0, rel=0.02)
    assert exact.force_noise < 1e-10
    known = {
        3.7e-8: ((3e-5, 2e-5, 9e-5, 4e-4), (0.31, 0.024, 0.0024, 0.0013)),
        2.7e-9: ((4e-6, 1.5e-5, 9e-5, 4e-4), (0.037, 0.0019, 0.0006, 0.0012)),
    }
    P = np.array(stored["P_nab_e"])
    Q = BOHR_PER_ANGSTROM * np.array(stored["Q_nabc_e2a0_per_Eh_per_bohr"])
    rng = np.random.default_rng(14)
    steps = np.array([5e-4, 2e-3, 5e-3, 1e-2])
    for sigma, (apt, pgt) in known.items():
        noisy = values + sigma * rng.normal(size=values.shape)
        scan = scan_fields(fields, noisy)
        assert scan.force_noise == pytest.approx(sigma, rel=0.4)
        assert scan.third == pytest.approx(22.0, rel=0.05)
        predicted = scan.apt_error(steps)
        assert (predicted < 2.0 * np.array(apt)).all()
        assert (predicted > 0.5 * np.array(apt)).all()
        predicted = scan.diagonal.error(steps, scan.force_noise) / BOHR_PER_ANGSTROM
        # Where noise hides the truncation the strongest field is thought too good.
        least = np.where(scan.diagonal.resolved | (steps < 1e-2), 0.5, 0.2)
        assert (predicted < 2.0 * np.array(pgt)).all()
        assert (predicted > least * np.array(pgt)).all()
        for k, step in enumerate(STEPS):
            fit = fit_tensors(fields[k], noisy[k])
            ratio = rms(fit.apt - P) / scan.apt_error(step)
            assert 0.5 < ratio < 2.0
            ratio = rms(fit.pgt - Q) / scan.pgt_error(step)
            assert 0.5 < ratio < 2.0
