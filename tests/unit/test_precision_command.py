"""`mimyria spectrum` says how well the spectra are known."""

import re

import numpy as np
import pytest

from mimyria.cli import main
from mimyria.correlators import Correlator
from mimyria.spectra import compute_spectra
from mimyria.storage import Result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT

SETTINGS = {"volume": 1e3, "temperature": 300.0, "resolution": 500.0}


def stored(path, n_samples, **provenance):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(n_samples + 3, 3))
    correlator = Correlator(3, 110, 1.0, DIPOLE_CORRELATION_UNIT)
    correlator.push(sum((k + 1) * noise[k : k + n_samples] for k in range(4)))
    dipole = correlator.result()
    spectra = compute_spectra(dipole, None, **SETTINGS)
    facts = {"window": "gaussian", **provenance}
    write_result(path, Result(dipole, None, spectra, 1e3, 300.0, 1.0, facts))
    return str(path)


def test_errors_are_those_of_blocks_and_the_time_needed_follows(tmp_path, capsys):
    path = stored(tmp_path / "run.h5", 20_000)
    assert main(["spectrum", path, "--target", "1", "--band", "500-2500"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "500–2500" in x]
    error, blocks, more = re.search(
        r"±([\d.]+)% \((\d+) blocks\).*; 1.0% needs (\d+) ps more", line
    ).groups()
    assert 8 <= int(blocks) <= 32
    expected = 20.0 * ((float(error) / 1.0) ** 2 - 1)
    assert float(more) == pytest.approx(expected, rel=0.1)
    assert "halves differ by" in line


def test_a_short_run_says_that_its_error_is_that_of_theory(tmp_path, capsys):
    path = stored(tmp_path / "run.h5", 2000)
    assert main(["spectrum", path]) == 0
    assert "(theory; too few blocks yet)" in capsys.readouterr().out


def test_the_target_is_that_of_the_run_where_none_is_given(tmp_path, capsys):
    path = stored(tmp_path / "run.h5", 20_000, target_ir=0.5)
    assert main(["spectrum", path]) == 0
    assert "50.0% is reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--band", "9-3"], "--band must be as 1500-1800"),
        (["--band", "OH"], "--band must be as 1500-1800"),
        (["--target", "0"], "--target must be from 0 to 100 %"),
    ],
)
def test_senseless_wishes_are_refused(tmp_path, capsys, arguments, text):
    path = stored(tmp_path / "run.h5", 2000)
    assert main(["spectrum", path, *arguments]) != 0
    said = capsys.readouterr()
    assert text in said.err
    assert not said.out  # nothing is printed before it is refused
