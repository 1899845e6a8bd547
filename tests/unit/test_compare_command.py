"""`mimyria compare`: what it prints, and what it refuses."""

import argparse
import math

import numpy as np
import pytest

from mimyria.cli import compare as command
from mimyria.correlators import Correlator
from mimyria.errors import FormatError, IncompatibleError, SettingsError
from mimyria.experiments import experiment_names, load_experiment
from mimyria.io.jcamp import write_jcamp
from mimyria.io.tables import write_table
from mimyria.spectra import Spectrum, compute_spectra
from mimyria.storage import Result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT

GRID = np.linspace(0.0, 4000.0, 1601)


def bands(shift=0.0):
    return 3000 * np.exp(-(((GRID - 1640 - shift) / 60) ** 2)) + 16000 * np.exp(
        -(((GRID - 3420 - shift) / 150) ** 2)
    )


def ir(shift=0.0):
    values = bands(shift)
    return Spectrum(GRID, values, "cm^-1", "ir", 0.02 * values, 10.0)


def run(*words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["compare", *map(str, words)])
    return arguments.run(arguments)


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "a.h5"
    vv = Spectrum(GRID, bands() / 1e9, "x", "raman_vv", None, 10.0)
    write_result(path, Result(None, None, {"ir": ir(), "raman_vv": vv}, 1e3, 300, 2.0))
    return path


def test_two_results_are_compared_by_all_common_spectra(stored, tmp_path, capsys):
    other = tmp_path / "b.h5"
    write_result(other, Result(None, None, {"ir": ir(20.0)}, 1e3, 300.0, 2.0))
    assert run(stored, other, "--plot", tmp_path / "both.png") == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("ir ")]
    assert "+20.0 ±" in line
    assert "raman_vv" not in out
    assert (tmp_path / "both.png").read_bytes()[:4] == b"\x89PNG"


def test_a_spectrum_that_is_masked_everywhere_is_left_out(tmp_path, capsys):
    masked = Spectrum(GRID, np.full(1601, np.nan), "1", "rho", None, 10.0)
    for name in "ab":
        both = Result(None, None, {"ir": ir(), "rho": masked}, 1e3, 300.0, 2.0)
        write_result(tmp_path / f"{name}.h5", both)
    assert run(tmp_path / "a.h5", tmp_path / "b.h5") == 0
    assert "note: rho is left out: the two have no 3" in capsys.readouterr().out
    with pytest.raises(IncompatibleError, match="no 3 points in common"):
        run(tmp_path / "a.h5", tmp_path / "b.h5", "--spectrum", "rho")


@pytest.mark.parametrize("kind", ["csv", "jdx"])
def test_a_file_of_the_same_spectrum_scores_zero(stored, tmp_path, capsys, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "csv":
        write_table(path, [ir()])
    else:
        write_jcamp(path, ir(), origin="test")
    assert run(stored, path, "--range", 500, 3900) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("ir ")]
    words = line.split()
    assert words[1] == "500-3900"
    assert float(words[2]) < 1e-4


def real_run(path, seed, resolution):
    """A result file with correlations and blocks, of white noise."""
    correlator = Correlator(3, 700, 2.0, DIPOLE_CORRELATION_UNIT)
    correlator.push(np.random.default_rng(seed).normal(size=(16_000, 3)))
    dipole = correlator.result()
    spectra = compute_spectra(
        dipole, None, volume=1e3, temperature=300.0, resolution=resolution
    )
    provenance = {"window": "gaussian"}
    write_result(path, Result(dipole, None, spectra, 1e3, 300.0, 2.0, provenance))
    return spectra["ir"]


def test_scores_of_runs_have_errors_at_the_coarser_resolution(tmp_path, capsys):
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    real_run(paths[0], 1, 40.0)
    coarse = real_run(paths[1], 2, 80.0)
    assert run(*paths, "--range", 500, 4000, "--plot", tmp_path / "x.png") == 0
    lines = capsys.readouterr().out.splitlines()
    (at,) = [k for k, line in enumerate(lines) if line.startswith("ir ")]
    scores, errors = lines[at].split(), lines[at + 1]
    assert errors.startswith("  ± (")
    score, error = float(scores[2]), float(errors.split()[5])
    # Noise alone: the score is near its floor, and its error is that of few points.
    assert score == pytest.approx(float(scores[3]), rel=0.35)
    assert 0.02 * score < error < 0.8 * score
    assert "±: one standard error, from the blocks of A and of B" in "\n".join(lines)
    assert (
        "note: compared at a resolution of 80 cm⁻¹: A (40) is computed again from its "
        "correlations with the window gaussian"
    ) in lines
    again = tmp_path / "again.h5"
    real_run(again, 1, 80.0)
    assert run(again, paths[1], "--range", 500, 4000) == 0
    same = capsys.readouterr().out.splitlines()
    assert same[at] == lines[at]
    assert not any("compared at a resolution" in line for line in same)
    assert coarse.resolution == 80.0


@pytest.mark.parametrize("kind", ["h5", "csv", "jdx"])
def test_a_run_against_itself_has_no_error(tmp_path, capsys, kind):
    path, other = tmp_path / "a.h5", tmp_path / f"b.{kind}"
    spectrum = real_run(path, 1, 40.0)
    if kind == "h5":
        real_run(other, 1, 40.0)
    elif kind == "csv":
        write_table(other, [spectrum])
    else:
        write_jcamp(other, spectrum, origin="test")
    assert run(path, other) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("ir ")]
    assert line.split()[2] == "0.0000"
    assert "±" not in out
    assert "note: A and B hold the same data (all of these): there is no dif" in out
    real_run(other.with_suffix(".h5"), 2, 40.0)  # another run has one
    assert run(path, other.with_suffix(".h5")) == 0
    out = capsys.readouterr().out
    assert "±" in out
    assert "the same data" not in out


@pytest.mark.parametrize("kind", ["csv", "jdx"])
def test_a_measurement_without_a_resolution_is_given_one(tmp_path, capsys, kind):
    """A band of 60 cm⁻¹, measured at 30: at 50 its width is √(60² + 40²)."""

    def gaussian(width):
        return np.exp(-4 * math.log(2) * ((GRID - 2000) / width) ** 2) / width

    ours = Spectrum(GRID, gaussian(math.hypot(60, 40)), "x", "ir", None, 50.0)
    theirs = Spectrum(GRID, gaussian(60.0), "x", "ir", None, 0.0)
    stored, measured = tmp_path / "run.h5", tmp_path / f"measured.{kind}"
    write_result(stored, Result(None, None, {"ir": ours}, 1e3, 300.0, 2.0))
    if kind == "csv":
        write_table(measured, [theirs])
    else:
        write_jcamp(measured, theirs, origin="test")

    def score(*words):
        assert run(stored, measured, *words) == 0
        out = capsys.readouterr().out
        (line,) = [line for line in out.splitlines() if line.startswith("ir ")]
        return float(line.split()[2]), out

    value, out = score()
    assert value > 0.05
    assert "note: B does not say its resolution" in out
    value, out = score("--resolution", 30)
    assert value < 1e-4
    assert (
        "note: compared at a resolution of 50 cm⁻¹: B (30) is broadened by a Gaussian "
        "of 40 cm⁻¹"
    ) in out
    with pytest.raises(SettingsError, match="--resolution must be above 0"):
        run(stored, measured, "--resolution", -4)
    with pytest.raises(SettingsError, match="does not say its own, but both files say"):
        run(stored, stored, "--resolution", 4)
    with pytest.raises(SettingsError, match="no meaning beside the bands of 'water'"):
        run(stored, "water", "--resolution", 4)


def test_water_stands_beside_the_run(stored, capsys):
    assert run(stored, "water") == 0
    out = capsys.readouterr().out
    stretch = next(x for x in out.splitlines() if "OH stretch" in x)
    assert stretch.split()[3:7] == ["3420", "3390", "16000", "16401"]
    assert "± " in stretch
    assert "hale-querry" in stretch
    memory = [line for line in out.splitlines() if "bertie-lan*" in line]
    assert len(memory) == 2
    assert "Appl. Opt. 12, 555 (1973)" in out


def test_the_shipped_numbers_agree_with_themselves():
    """α = 4π k ν and α n = α · n, for what comes from the table of n and k."""
    assert experiment_names() == ["water"]
    water = load_experiment("water")
    tabulated = [band for band in water.bands if band.k is not None]
    assert len(tabulated) == 5
    for band in tabulated:
        assert band.status == "table"
        alpha = 4 * np.pi * band.k * band.position
        # The table has two or three digits of k.
        assert band.absorption == pytest.approx(alpha, rel=2e-3), band.name
        assert band.height == pytest.approx(band.absorption * band.n, rel=2e-3)
    for band in water.bands:
        assert band.source in water.sources
        assert band.status in ("table", "memory")
        assert band.low < band.high
        assert band.position is None or band.low <= band.position <= band.high


def test_the_total_integral_is_the_f_sum():
    from mimyria.units import FSUM_CONSTANT

    water = load_experiment("water")
    (total,) = [band.integral for band in water.bands if band.note == "total"]
    assert FSUM_CONSTANT * water.f_sum / water.volume == pytest.approx(total, rel=5e-3)


def test_what_is_not_there_is_named(stored, tmp_path):
    with pytest.raises(FormatError, match=r"no such file, .*\(known: water\)"):
        run(stored, "wine")
    with pytest.raises(SettingsError, match="has no spectrum 'vcd', only ir, raman_vv"):
        run(stored, stored, "--spectrum", "vcd")
    with pytest.raises(SettingsError, match="there is no experiment 'wine'"):
        load_experiment("wine")
