"""ASE's side: a calculator that caches, and calculators as sources of tensors."""

import re
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from mimyria.ase import AseTensorSource, TensorCalculator
from mimyria.errors import EvaluatorError, ModelError, SettingsError, UnitError
from mimyria.io.atoms import frame_from_atoms
from mimyria.models import load_model
from mimyria.targets import APT, PGT
from mimyria.tensorsources import ConvertedSource, SourceMetadata

DOCS = Path(__file__).resolve().parents[3] / "docs"
Z = np.arange(9.0).reshape(3, 3)  # not symmetric


class Counting:
    """A PGT of x x r, and how often it was asked for."""

    metadata = SourceMetadata("counting", PGT, PGT.order, PGT.unit)

    def __init__(self):
        self.calls = 0

    def predict(self, frames):
        self.calls += len(frames)
        return [self.pgt(frame.positions) for frame in frames]

    @staticmethod
    def pgt(positions):
        return np.einsum("a,b,ic->iabc", [1.0, 0, 0], [1.0, 0, 0], positions)


class Rows(Calculator):
    """Born charges with a row for each displacement, scaled by the position x."""

    implemented_properties = ("born_effective_charges",)
    fails = False

    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.fails:
            raise RuntimeError("no more\ndisk")
        x = self.atoms.positions[:, 0, np.newaxis, np.newaxis]
        self.results = {"born_effective_charges": x * Z.T}


@pytest.fixture
def water():
    atoms = molecule("H2O", vacuum=4.0)
    atoms.positions[0] += [0.11, 0.07, -0.05]
    return atoms


def test_calculator_gives_what_the_model_gives_in_our_order(model_file, water):
    water.calc = TensorCalculator(model_file)
    found = water.calc.get_property("born_effective_charges", water)
    expected = load_model(model_file).predict([frame_from_atoms(water)])[0].apt
    assert np.array_equal(found, expected)
    assert np.abs(found - found.swapaxes(1, 2)).max() > 1e-6
    assert np.array_equal(water.calc.get_born_effective_charges(water), expected)
    # It is the derivative of the same function: turned atoms, turned tensors.
    turned = water.copy()
    turned.rotate(90, "z", rotate_cell=True)
    turned.calc = water.calc
    R = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    again = turned.calc.get_born_effective_charges(turned)
    assert np.abs(again - R @ expected @ R.T).max() < 1e-5


def test_each_property_is_computed_once_until_the_atoms_change(model_file, water):
    source = Counting()
    water.calc = TensorCalculator(model_file, source)
    for _ in range(3):
        pgt = water.calc.get_polarizability_gradient(water)
    assert source.calls == 1
    assert np.array_equal(pgt, Counting.pgt(water.positions))
    water.calc.get_born_effective_charges(water)
    assert source.calls == 1
    assert set(water.calc.results) == {
        "born_effective_charges",
        "polarizability_gradient",
    }
    water.set_initial_charges([1.0, 0, 0])  # no model feels them
    water.calc.get_polarizability_gradient(water)
    assert source.calls == 1
    pgt[:] = 0.0  # a copy
    water.positions[0, 2] += 0.01
    assert "polarizability_gradient" in water.calc.implemented_properties
    pgt = water.calc.get_polarizability_gradient(water)
    assert source.calls == 2
    assert np.array_equal(pgt, Counting.pgt(water.positions))
    assert "born_effective_charges" not in water.calc.results


def test_what_it_cannot_do_is_refused(model_file, water):
    water.calc = TensorCalculator(Counting())
    with pytest.raises(PropertyNotImplementedError):
        water.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        water.calc.get_born_effective_charges(water)
    with pytest.raises(SettingsError, match="needs a model"):
        TensorCalculator()
    with pytest.raises(SettingsError, match="not two of born_effective_charges"):
        TensorCalculator(model_file, str(model_file))
    water.calc = TensorCalculator(model_file)
    water.symbols[1] = "Cl"
    with pytest.raises(ModelError, match="also holds Cl"):
        water.calc.get_born_effective_charges(water)


def test_a_calculator_is_a_source_in_our_order(water):
    frame = frame_from_atoms(water)
    source = AseTensorSource(Rows(), "born_effective_charges", "dM_b/dr_a", "e")
    assert source.metadata.target is APT
    (found,) = ConvertedSource(source, "rows").predict([frame])
    assert np.allclose(found.apt, frame.positions[:, 0, None, None] * Z, atol=1e-14)
    with pytest.raises(UnitError, match=r'must be one of .*but is "rows"'):
        AseTensorSource(Rows(), "born_effective_charges", "rows", "e")
    with pytest.raises(UnitError, match=r"apt_unit must be .* \"C\" is none of them"):
        ConvertedSource(
            AseTensorSource(Rows(), "born_effective_charges", "dM_b/dr_a", "C"), "rows"
        )


def test_what_a_calculator_does_wrong_is_one_line(water):
    frame = frame_from_atoms(water, step=7)
    source = AseTensorSource(Rows(), "dipole", "dM_b/dr_a", "e")
    with pytest.raises(EvaluatorError, match=r"step 7: 'rows' stopped at dipole: Prop"):
        source.predict([frame])
    broken = Rows()
    broken.fails = True
    source = AseTensorSource(broken, "born_effective_charges", "dM_b/dr_a", "e")
    with pytest.raises(EvaluatorError, match="RuntimeError: no more disk"):
        source.predict([frame])


def test_the_example_of_the_docs_runs(capsys):
    text = (DOCS / "models.md").read_text()
    (example,) = re.findall(
        r"```python\n(from ase.*?TensorCalculator.*?)```", text, re.S
    )
    exec(compile(example, "docs/models.md", "exec"), {})
    assert "(3, 3, 3) (3, 3, 3, 3)" in capsys.readouterr().out
