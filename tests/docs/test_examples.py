"""Scripts of the manual that need something around them; taken from their pages."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.lj import LennardJones

from mimyria.reference import pgt_stencil
from tests.docs.pages import REPOSITORY


def script(page: str, first: str) -> str:
    """The script of a page that begins with these words."""
    text = (REPOSITORY / "docs" / page).read_text()
    (found,) = re.findall(rf"```python\n({re.escape(first)}.*?)```", text, re.S)
    return str(found)


def test_a_function_that_makes_a_calculator_with_a_field() -> None:
    """docs/codes.md: what a campaign calls for each point."""

    class SomeCalculator(LennardJones):
        """Atoms with a charge of 1 e in a field."""

        def __init__(self, electric_field: np.ndarray) -> None:
            super().__init__(epsilon=0.0, sigma=1.0)
            self.field = electric_field

        def calculate(self, *arguments: object) -> None:
            super().calculate(*arguments)
            self.results["forces"] = np.tile(self.field, (len(self.atoms), 1))

    names = {"SomeCalculator": SomeCalculator}
    exec(compile(script("codes.md", "# mycalc.py"), "codes.md", "exec"), names)
    atoms = molecule("H2O")
    atoms.calc = names["make"](np.array([0.0, 0.1, 0.0]))
    np.testing.assert_array_equal(atoms.get_forces(), [[0.0, 0.1, 0.0]] * 3)


def test_a_scan_of_fields_finds_the_best_one(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """docs/reference-quality.md, with the forces of a known response and noise."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    steps = [5e-4, 1e-3, 2e-3, 5e-3, 1e-2]
    fields = np.stack([pgt_stencil(h) for h in steps])
    linear, square = rng.normal(size=(3, 3, 3)), 4 * rng.normal(size=(3, 3, 3, 3))
    fourth = 100.0 * rng.normal(size=(3, 3))
    forces = np.einsum("sfa,iac->sfic", fields, linear)
    forces += np.einsum("sfa,sfb,iabc->sfic", fields, fields, square) / 2
    forces += np.einsum("sf,ic->sfic", (fields**2).sum(axis=2) ** 2, fourth) / 24
    forces += rng.normal(scale=1e-8, size=forces.shape)
    text = script("reference-quality.md", "import numpy as np")
    assert "forces = ..." in text
    names = {"computed": forces}
    exec(text.replace("forces = ...", "forces = computed"), names)
    assert 1e-3 < names["scan"].best <= 1e-2
    assert 0.5e-8 < names["scan"].force_noise < 2e-8
    assert (tmp_path / "scan.pdf").stat().st_size > 1000
    assert "None" not in capsys.readouterr().out
