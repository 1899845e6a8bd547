"""What docs/observables.md shows works, and what it names exists."""

import re
from pathlib import Path

import numpy as np
import pytest

from mimyria.cli import build_parser
from mimyria.correlators import Correlator
from mimyria.spectra import QUANTITIES
from mimyria.storage import Result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "observables.md").read_text()


def test_the_python_example_runs(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    parts = []
    for n_channels, unit in (
        (3, DIPOLE_CORRELATION_UNIT),
        (6, POLARIZABILITY_CORRELATION_UNIT),
    ):
        correlator = Correlator(n_channels, 1300, 2.0, unit)
        correlator.push(1e-2 * rng.normal(size=(3000, n_channels)))
        parts.append(correlator.result())
    (tmp_path / "run").mkdir()
    write_result(
        tmp_path / "run" / "spectrum.h5", Result(*parts, {}, 1900.0, 300.0, 2.0)
    )
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(example, names)
    assert set(names["optics"]) == {"refractive_index", "extinction"}
    assert set(names["crystal"]) == {"raman_z(xy)z"}


def test_every_option_and_quantity_that_it_names_exists(capsys):
    quantities = re.findall(r"--quantity (\w+)", TEXT)
    assert len(quantities) > 8
    assert set(quantities) <= {*QUANTITIES, "all"}
    for command in ("spectrum", "vdos", "table", "plot"):
        with pytest.raises(SystemExit):
            build_parser().parse_args([command, "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) <= known
