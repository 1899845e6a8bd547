"""Any ASE calculator with a field: units, signs, the function of the user."""

import sys
import textwrap

import numpy as np
import pytest

from mimyria.errors import CalculationError, SettingsError
from mimyria.frame import Frame
from mimyria.reference import (
    fit_tensors,
    pgt_stencil,
    polarizability_from_dipoles,
)
from mimyria.reference.codes import code_from_table
from mimyria.units import (
    BOHR_PER_ANGSTROM,
    VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD,
)

# M_a = Σ q r_a + ½ r·B_a·r and α_ab = α0_ab + Σ C_abc r_c, atom by atom; springs
# between the atoms. P and Q are known exactly and are not symmetric.
POLARIZABLE = """
    import numpy as np
    from ase.calculators.calculator import Calculator, all_changes

    __version__ = "7"
    rng = np.random.default_rng(11)
    Q = np.array([-0.8, 0.5, 0.4])
    B = 0.1 * rng.normal(size=(3, 3, 3, 3))
    B = B + B.transpose(0, 1, 3, 2)
    A0 = np.diag([0.1, 0.2, 0.3])
    C = 0.05 * rng.normal(size=(3, 3, 3, 3))
    C = C + C.transpose(0, 2, 1, 3)

    class Charges(Calculator):
        implemented_properties = ["energy", "forces", "dipole"]

        def __init__(self, field):
            super().__init__()
            self.field = field

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            super().calculate(atoms, properties, system_changes)
            r, E = self.atoms.positions, self.field
            pairs = r[:, None] - r[None]
            M = Q @ r + 0.5 * np.einsum("iacd,ic,id->a", B, r, r)
            alpha = A0 + np.einsum("iabc,ic->ab", C, r)
            F = -2.0 * pairs.sum(axis=1)
            F += np.outer(Q, E) + np.einsum("a,iacd,id->ic", E, B, r)
            F += 0.5 * np.einsum("a,b,iabc->ic", E, E, C)
            energy = 0.5 * (pairs**2).sum() - M @ E - 0.5 * E @ alpha @ E
            self.results = {"energy": energy, "forces": F, "dipole": M + alpha @ E}

    def make(field):
        return Charges(field)

    def stubborn(field):
        calculator = Charges(field)
        def calculate(*arguments, **names):
            raise OSError("the disk\\nis full")
        calculator.calculate = calculate
        return calculator

    def broken(field):
        return 1 / 0

    def number(field):
        return 42
"""

POSITIONS = np.array([[0.1, 0.05, -0.02], [1.057, 0.06, 0.03], [-0.14, 0.93, 0.1]])


@pytest.fixture
def frame():
    return Frame(
        np.array([8, 1, 1]), POSITIONS, np.zeros((3, 3)), None, 0, pbc=(False,) * 3
    )


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Code of a function of `mycharges.py`."""
    (tmp_path / "mycharges.py").write_text(textwrap.dedent(POLARIZABLE))
    monkeypatch.delitem(sys.modules, "mycharges", raising=False)

    def make(function, **more):
        table = {"kind": "ase", "factory": f"mycharges:{function}", **more}
        return code_from_table(table, tmp_path)

    return make


def test_tensors_of_polarizable_charges_are_exact_in_our_units(made, frame, tmp_path):
    code = made("make")
    code.check(frame)
    fields = pgt_stencil(2e-3)
    points = [code.single_point(frame, field, tmp_path, None) for field in fields]
    fit = fit_tensors(fields, np.array([point.forces for point in points]))
    model = sys.modules["mycharges"]
    P = model.Q[:, None, None] * np.eye(3) + np.einsum(
        "iacd,id->iac", model.B, POSITIONS
    )
    alpha_unit = BOHR_PER_ANGSTROM * VOLT_PER_ANGSTROM_PER_ATOMIC_FIELD
    assert np.abs(fit.apt - P).max() < 1e-10
    assert np.abs(fit.apt - P.transpose(0, 2, 1)).max() > 0.05
    assert np.abs(fit.pgt - alpha_unit * model.C).max() < 1e-6
    alpha = polarizability_from_dipoles(fields, [point.dipole for point in points])
    expected = model.A0 + np.einsum("iabc,ic->ab", model.C, POSITIONS)
    assert np.abs(alpha - alpha_unit * expected).max() < 1e-9
    for point, field in zip(points, fields, strict=True):
        assert np.array_equal(point.field, field)
    # The enthalpy falls by M·E, in Eh.
    slope = (points[1].energy - points[2].energy) / 4e-3
    assert slope == pytest.approx(-BOHR_PER_ANGSTROM * points[0].dipole[0], rel=1e-9)


def test_a_periodic_dipole_comes_with_its_quantum(made, frame, tmp_path):
    cell = np.array([[9.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-0.7, 1.1, 8.0]])
    code = made("make")

    def quantum(*pbc):
        slab = Frame(frame.numbers, frame.positions, cell, None, 0, pbc=pbc)
        return code.single_point(slab, np.zeros(3), tmp_path, None).quantum

    assert np.array_equal(quantum(True, True, True), cell)
    assert np.array_equal(quantum(True, False, True), cell * [[1], [0], [1]])
    assert quantum(False, False, False) is None


def test_tblite_through_ase_is_tblite(frame, tmp_path, monkeypatch):
    """An independent calculator: both ways of units and signs lead to one number."""
    # tblite 0.8 scales what it is given, and then takes lists only.
    (tmp_path / "through_ase.py").write_text(
        textwrap.dedent("""
        from tblite.ase import TBLite

        class Field(list):
            def __mul__(self, factor):
                return Field(factor * value for value in self)

            def __truediv__(self, divisor):
                return Field(value / divisor for value in self)

        def make(field):
            return TBLite(method="GFN2-xTB", accuracy=1e-4, verbosity=0,
                          electric_field=Field(field.tolist()))
        """)
    )
    monkeypatch.delitem(sys.modules, "through_ase", raising=False)
    through = code_from_table({"kind": "ase", "factory": "through_ase:make"}, tmp_path)
    direct = code_from_table({"kind": "tblite", "method": "GFN2-xTB"}, tmp_path)
    field = np.array([4e-3, -2e-3, 7e-3])
    one = through.single_point(frame, field, tmp_path, None)
    other = direct.single_point(frame, field, tmp_path, None)
    # ASE has its own digits of the bohr and the hartree.
    assert np.abs(one.forces - other.forces).max() < 1e-8
    assert np.abs(one.dipole - other.dipole).max() < 1e-8
    assert one.energy == pytest.approx(other.energy, abs=1e-7)
    zero = through.single_point(frame, np.zeros(3), tmp_path, None)
    assert np.abs(one.forces - zero.forces).max() > 1e-3


def test_versions_and_the_text_of_the_module_identify_the_code(
    made, tmp_path, monkeypatch
):
    import ase

    code = made("make")
    assert code.version() == f"ase {ase.__version__}, mycharges 7"
    before = code.identity
    assert '"factory": "mycharges:make"' in before
    assert str(tmp_path) not in before
    (tmp_path / "mycharges.py").write_text("def make(field):\n    return None\n")
    assert code.identity != before


def test_what_the_function_does_wrong_is_one_clear_line(made, frame, tmp_path):
    with pytest.raises(SettingsError, match=r"called with a field.*ZeroDivisionError"):
        made("broken").check(frame)
    with pytest.raises(SettingsError, match=r"must return a calculator of ASE.* int"):
        made("number").check(frame)
    with pytest.raises(SettingsError, match=r"mycharges\.py has no function maker"):
        made("maker").check(frame)
    with pytest.raises(CalculationError, match="OSError: the disk is full"):
        made("stubborn").single_point(frame, np.zeros(3), tmp_path, None)


def test_a_module_that_cannot_be_found_is_named(made, frame, tmp_path):
    code = made("make", search="elsewhere")
    with pytest.raises(SettingsError, match=r"No module named 'mycharges'.*elsewhere"):
        code.check(frame)
    with pytest.raises(CalculationError, match="No module named 'mycharges'"):
        code.version()
    with pytest.raises(SettingsError, match='of the form "module:function"'):
        code_from_table({"kind": "ase", "factory": "mycharges"}, tmp_path)


def test_a_module_whose_name_is_taken_is_not_mistaken_for_another(
    made, frame, tmp_path
):
    made("make").check(frame)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mycharges.py").write_text("def make(field):\n    return None\n")
    code = made("make", search="other")
    with pytest.raises(SettingsError, match="another module mycharges is loaded from"):
        code.check(frame)


def test_the_field_reaches_the_function_in_volt_per_angstrom(made, frame, tmp_path):
    import ase.units

    code = made("make")
    code.single_point(frame, np.zeros(3), tmp_path, None)
    seen = []
    model = sys.modules["mycharges"]
    original = model.make
    model.make = lambda field: (seen.append(field), original(field))[1]
    code.single_point(frame, np.array([1.0, 0.0, -2.0]), tmp_path, None)
    factor = ase.units.Hartree / ase.units.Bohr
    assert seen[0] == pytest.approx([factor, 0.0, -2 * factor], rel=1e-7)
