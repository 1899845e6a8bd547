"""Electronic structure of molecules: fields, displacements, stored values.

The molecule is bent, stretched and turned, so that no tensor of it is symmetric and a
transposed one is noticed.
"""

import json

import numpy as np
import pytest

from mimyria import Tensors
from mimyria.errors import CalculationError, SettingsError
from mimyria.frame import Frame
from mimyria.reference import (
    agreement,
    apt_from_dipoles,
    apt_stencil,
    detect_normalisation,
    displaced_positions,
    fit_tensors,
    pgt_from_polarizabilities,
    pgt_stencil,
    polarizability_from_dipoles,
)
from mimyria.reference.codes import code_from_table
from mimyria.reference.displacement import DEFAULT_DISPLACEMENT
from mimyria.units import ANGSTROM_PER_BOHR, BOHR_PER_ANGSTROM

WATER = np.array([[0.1, 0.05, -0.02], [1.057, 0.06, 0.03], [-0.14, 0.93, 0.1]])
STEP = 2e-3
RHF = {"kind": "pyscf", "method": "hf", "basis": "6-31g"}
GFN1 = {"kind": "tblite", "method": "GFN1-xTB"}
GFN2 = {"kind": "tblite", "method": "GFN2-xTB"}


def molecule(positions=WATER, numbers=(8, 1, 1), pbc=(False, False, False)):
    return Frame(
        np.array(numbers), np.asarray(positions), 9.0 * np.eye(3), None, 0, pbc=pbc
    )


class Runner:
    """Points of one code, each started from the point at zero field of its frame."""

    def __init__(self, folder, table):
        self.code = code_from_table(table, folder)
        self.guess, self.folder = folder / "zero", folder / "field"
        self.guess.mkdir(exist_ok=True)
        self.folder.mkdir(exist_ok=True)

    def points(self, frame, fields):
        self.code.check(frame)
        zero = self.code.single_point(frame, np.zeros(3), self.guess, None)
        return [
            self.code.single_point(frame, field, self.folder, self.guess)
            if np.any(field)
            else zero
            for field in fields
        ]

    def by_fields(self, frame, step=STEP):
        fields = pgt_stencil(step)
        points = self.points(frame, fields)
        forces = np.array([point.forces for point in points])
        assert detect_normalisation(fields, forces).verdict == "consistent"
        fit = fit_tensors(fields, forces)
        alpha = polarizability_from_dipoles(fields, [each.dipole for each in points])
        return fit, points[0].dipole, alpha

    def extrapolated(self, frame):
        """APT, PGT, dipole moment, and α without their error in h²; and the fit."""
        fit, dipole, alpha = self.by_fields(frame)
        wide, _, wider = self.by_fields(frame, 2 * STEP)
        return (
            (4 * fit.apt - wide.apt) / 3,
            (4 * fit.pgt - wide.pgt) / 3,
            dipole,
            (4 * alpha - wider) / 3,
            fit,
        )

    def by_displacements(self, frame, atoms):
        moved = displaced_positions(frame.positions, atoms, DEFAULT_DISPLACEMENT)
        fields = apt_stencil(STEP)
        dipoles = np.empty((len(atoms), 3, 2, 3))
        alphas = np.empty((len(atoms), 3, 2, 3, 3))
        for place in np.ndindex(*moved.shape[:3]):
            found = self.points(
                molecule(moved[place], frame.numbers), [np.zeros(3), *fields]
            )
            dipoles[place] = found[0].dipole
            alphas[place] = polarizability_from_dipoles(
                fields, [point.dipole for point in found[1:]]
            )
        return (
            apt_from_dipoles(dipoles, DEFAULT_DISPLACEMENT),
            pgt_from_polarizabilities(alphas, DEFAULT_DISPLACEMENT),
        )


@pytest.fixture
def run(tmp_path):
    return lambda table, **more: Runner(tmp_path, {**table, **more})


@pytest.fixture(scope="module")
def stored(peer_fixtures):
    """Converged finite-field values of this molecule, RHF/6-31G."""
    text = (peer_fixtures / "test_values.json").read_text()
    values = json.loads(text)["finite_field_water_RHF_631G"]
    assert np.array_equal(values["coords_A"], WATER)
    return (
        np.array(values["P_nab_e"]),
        BOHR_PER_ANGSTROM * np.array(values["Q_nabc_e2a0_per_Eh_per_bohr"]),
        np.array(values["dipole_au"]),
        np.array(values["alpha_au"]),
    )


def test_hartree_fock_water_has_the_stored_converged_tensors(run, stored):
    """At the usual step, and with the truncation error h² extrapolated away."""
    P, Q, dipole, alpha = stored
    runner = run(RHF, conv_tol_grad=1e-9)
    apt, pgt, found, polarizability, fit = runner.extrapolated(molecule())
    assert agreement("apt", fit.apt, P, 1e-4).verdict == "agree"
    assert agreement("pgt", fit.pgt, Q, 1e-4).verdict == "agree"
    swapped = fit.apt.transpose(0, 2, 1)
    assert agreement("apt", swapped, P, 1e-4).verdict == "transposed"
    assert np.abs(apt - P).max() < 1e-6
    assert np.abs(pgt - Q).max() < 2e-4
    assert np.abs(found - ANGSTROM_PER_BOHR * dipole).max() < 1e-7
    assert np.abs(polarizability - alpha).max() < 5e-6


@pytest.mark.parametrize("table", [GFN1, GFN2], ids=["GFN1", "GFN2"])
def test_tight_binding_water_by_fields_is_that_by_displacements(run, table):
    runner = run(table)
    fit, *_ = runner.by_fields(molecule())
    P, Q = runner.by_displacements(molecule(), [0, 1, 2])
    for name, tensors, reference in (("apt", fit.apt, P), ("pgt", fit.pgt, Q)):
        found = agreement(name, tensors, reference, 1e-4)
        assert found.verdict == "agree", found
        assert found.sees_order
        swapped = agreement(name, np.swapaxes(tensors, -1, -2), reference, 1e-4)
        assert swapped.verdict == "transposed"
        assert swapped.relative > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"charge": 1, "spin": 1},
        {"method": "pbe0", "basis": "sto-3g", "grid_level": 0},
    ],
    ids=["RHF", "UHF cation", "PBE0"],
)
def test_pyscf_by_fields_is_pyscf_by_displacements(run, more):
    runner = run(RHF, **more)
    fit, *_ = runner.by_fields(molecule())
    P, Q = runner.by_displacements(molecule(), [1])
    assert agreement("apt", fit.apt[[1]], P, 1e-4).verdict == "agree"
    assert agreement("pgt", fit.pgt[[1]], Q, 2e-4).verdict == "agree"


@pytest.mark.parametrize(
    ("table", "charge"),
    [(RHF, 0), (GFN1, 0), (GFN2, 0), ({**RHF, "charge": 1, "spin": 1}, 1),
     ({**GFN2, "charge": 1, "spin": 1}, 1)],
    ids=["RHF", "GFN1", "GFN2", "UHF cation", "GFN2 cation"],
)  # fmt: skip
def test_tensors_obey_the_rules_of_translation_and_rotation(run, table, charge):
    """Σ_i P_i = charge, Σ_i Q_i = 0; a turned molecule has a turned M and α.

    Σ_i P_i[a, b] e_bde r_ie = e_ade M_e and its analogue for Q; the latter two also for
    an ion, because field, dipole moment and positions have one origin.
    """
    runner = run(table)
    apt, pgt, dipole, alpha, _ = runner.extrapolated(molecule())
    rest = Tensors(apt, pgt).sum_rule_residual(charge)
    assert np.abs(rest.apt).max() < 1e-8
    assert np.abs(rest.pgt).max() < 1e-5
    e = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        e[a, b, c], e[b, a, c] = 1.0, -1.0
    expected = np.einsum("ade,e->ad", e, dipole)
    turned = np.einsum("iab,bde,ie->ad", apt, e, WATER)
    assert np.abs(turned - expected).max() < 1e-4
    swapped = np.einsum("iba,bde,ie->ad", apt, e, WATER)
    assert np.abs(swapped - expected).max() > 5e-3
    expected = np.einsum("ade,eb->abd", e, alpha)
    expected = expected + expected.transpose(1, 0, 2)
    turned = np.einsum("iabc,cde,ie->abd", pgt, e, WATER)
    assert np.abs(turned - expected).max() < 1e-3


@pytest.mark.parametrize(
    "table",
    [RHF, {**RHF, "density_fitting": True}, {**RHF, "charge": 1, "spin": 1},
     {**RHF, "method": "pbe", "basis": "sto-3g", "charge": 1, "spin": 1,
      "grid_level": 0},
     {**GFN2, "charge": 1, "spin": 1}],
    ids=["RHF", "fitted", "UHF", "UKS", "GFN2"],
)  # fmt: skip
def test_forces_in_a_field_are_minus_the_slope_of_the_enthalpy(run, table, tmp_path):
    code = run(table).code
    field = np.array([0.01, -0.02, 0.015])

    def point(positions, field):
        return code.single_point(molecule(positions), field, tmp_path, None)

    here = point(WATER, field)
    step = 2e-3
    for atom, axis in ((0, 1), (2, 0)):
        plus, minus = displaced_positions(WATER, [atom], step)[0, axis]
        change = point(plus, field).energy - point(minus, field).energy
        slope = change / (2 * step * BOHR_PER_ANGSTROM)
        assert here.forces[atom, axis] == pytest.approx(-slope, abs=2e-5)
    # The same enthalpy falls by the dipole moment with the field.
    shift = np.array([0.0, 1e-3, 0.0])
    change = point(WATER, field + shift).energy - point(WATER, field - shift).energy
    moment = -ANGSTROM_PER_BOHR * change / 2e-3
    assert here.dipole[1] == pytest.approx(moment, abs=2e-5)
    total = table.get("charge", 0) * field
    assert np.abs(here.forces.sum(axis=0) - total).max() < 1e-9


@pytest.mark.parametrize("table", [RHF, GFN2], ids=["PySCF", "tblite"])
def test_a_moved_ion_changes_its_dipole_by_charge_times_way(run, table):
    runner = run(table, charge=1, spin=1)
    way = np.array([0.3, -0.7, 1.1])
    field = np.array([5e-3, 2e-3, -4e-3])
    (one,) = runner.points(molecule(), [field])
    (other,) = runner.points(molecule(WATER + way), [field])
    assert np.abs(other.dipole - one.dipole - way).max() < 1e-6
    assert np.abs(other.forces - one.forces).max() < 1e-7


def test_fields_start_from_the_density_at_zero_field(run, tmp_path):
    runner = run(RHF)
    field = np.array([2e-3, 0.0, 0.0])
    (near,) = runner.points(molecule(), [field])
    cycles = (runner.folder / "pyscf.log").read_text().count("cycle= ")
    far = runner.code.single_point(molecule(), field, tmp_path, None)
    assert 0 < cycles < (tmp_path / "pyscf.log").read_text().count("cycle= ")
    assert np.abs(near.forces - far.forces).max() < 1e-8
    with np.load(runner.guess / "density.npz", allow_pickle=False) as data:
        assert data["density"].shape == (13, 13)


@pytest.mark.parametrize("table", [RHF, GFN2], ids=["PySCF", "tblite"])
def test_a_start_that_is_missing_or_of_another_frame_is_refused(run, table, tmp_path):
    runner = run(table)
    field = np.array([2e-3, 0.0, 0.0])
    with pytest.raises(CalculationError, match=r"density\.npz|wavefunction\.npz"):
        runner.code.single_point(molecule(), field, tmp_path, tmp_path)
    runner.points(molecule(), [np.zeros(3)])
    other = molecule(WATER[:1], (18,))
    with pytest.raises(CalculationError, match="it belongs to another frame"):
        runner.code.single_point(other, field, tmp_path, runner.guess)


@pytest.mark.parametrize(
    ("table", "reason"),
    [({**RHF, "max_cycle": 1},
      r"did not converge in 1 cycles: the energy still changes by .*e.* Eh"),
     ({**RHF, "method": "pbe", "grid_level": 0, "max_cycle": 1},
      "did not converge in 1 cycles"),
     ({**GFN2, "max_iterations": 2}, "tblite stopped: SCF not converged in 2 cycles")],
    ids=["RHF", "PBE", "GFN2"],
)  # fmt: skip
def test_what_does_not_converge_is_an_error_with_its_reason(
    run, table, reason, tmp_path
):
    code = run(table).code
    with pytest.raises(CalculationError, match=reason) as caught:
        code.single_point(molecule(), np.zeros(3), tmp_path, None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "density.npz").exists()
    assert not (tmp_path / "wavefunction.npz").exists()


@pytest.mark.parametrize("table", [RHF, GFN2], ids=["PySCF", "tblite"])
def test_what_cannot_work_is_refused_before_anything_is_computed(run, table):
    code = run(table).code
    with pytest.raises(SettingsError, match=r"the frame repeats along a, b, c\."):
        code.check(molecule(pbc=(True, True, True)))
    with pytest.raises(SettingsError, match=r"repeats along b\. Write pbc"):
        code.check(molecule(pbc=(False, True, False)))
    with pytest.raises(SettingsError, match="must be odd for 9 electrons"):
        run(table, charge=1).code.check(molecule())
    with pytest.raises(SettingsError, match="must be even for 10 electrons"):
        run(table, spin=1).code.check(molecule())
    with pytest.raises(SettingsError, match="leave -1 electrons"):
        run(table, charge=11).code.check(molecule())


def test_methods_and_basis_sets_that_do_not_exist_are_refused(run):
    with pytest.raises(SettingsError, match="basis = '6-31h'"):
        run(RHF, basis="6-31h").code.check(molecule())
    with pytest.raises(SettingsError, match=r"code.basis = 'cc-pvdz'.* Lr"):
        run(RHF, basis="cc-pvdz", spin=1).code.check(molecule([[0.0, 0, 0]], (103,)))
    with pytest.raises(SettingsError, match="'pbee' is neither \"hf\" nor a func"):
        run(RHF, method="pbee").code.check(molecule())
    with pytest.raises(SettingsError, match="changes no tensor: leave it off"):
        run(RHF, method="pbe-d4").code.check(molecule())
    with pytest.raises(SettingsError, match="ends with element 86"):
        run(GFN2).code.check(molecule([[0.0, 0, 0]], (92,)))
    run(RHF, method="PBE0", basis="def2-SVPD").code.check(molecule())
