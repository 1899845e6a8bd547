"""Pictures appear, and `mimyria spectrum` gives again what the run gave."""

import argparse

import numpy as np
import pytest

from mimyria.cli import spectrum as command
from mimyria.correlators import Correlator
from mimyria.errors import FormatError, SettingsError
from mimyria.plots import plot_ir, plot_raman
from mimyria.spectra import compute_spectra
from mimyria.storage import Result, read_result, write_result
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
)

N_LAGS, INTERVAL = 400, 2.0
CELL = {"volume": 1900.0, "temperature": 300.0}
SERIES = {
    "n_lags": N_LAGS,
    "interval": INTERVAL,
    "n_steps": 4000,
    "noise": 1e-4,
    "amplitudes": (2e-3, 1e-2),
    "cell": CELL,
    "resolution": 100.0,
}


@pytest.fixture(scope="module")
def result(two_bands):
    return two_bands(**SERIES)


def is_png(path):
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_both_plots_are_pictures(result, tmp_path):
    plot_ir(result, tmp_path / "ir.png")
    plot_raman(result.spectra, tmp_path / "raman.png")
    assert is_png(tmp_path / "ir.png")
    assert is_png(tmp_path / "raman.png")


def test_a_plot_before_the_first_sample_is_possible(tmp_path):
    dipole = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT).result()
    alpha = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT).result()
    spectra = compute_spectra(dipole, alpha, **CELL, resolution=100.0)
    plot_ir(spectra, tmp_path / "ir.png")
    plot_raman(spectra, tmp_path / "raman.png")
    assert is_png(tmp_path / "raman.png")


def test_a_plot_without_its_spectrum_says_which_is_missing(result, tmp_path):
    with pytest.raises(
        SettingsError, match=r"needs the spectrum 'raman_vv', but .*'ir'"
    ):
        plot_raman({"ir": result.spectra["ir"]}, tmp_path / "raman.png")


def run(*words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["spectrum", *map(str, words)])
    return arguments.run(arguments)


@pytest.fixture
def stored(result, tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, result)
    return path


def test_the_command_repeats_the_spectra_of_the_run(stored, result, tmp_path, capsys):
    again = tmp_path / "again.h5"
    assert run(stored, "--output", again) == 0
    repeated = read_result(again)
    assert list(repeated.spectra) == list(result.spectra)
    for name, spectrum in result.spectra.items():
        assert np.array_equal(
            spectrum.intensity, repeated.spectra[name].intensity, equal_nan=True
        )
    assert np.array_equal(repeated.dipole.values, result.dipole.values)
    printed = capsys.readouterr().out
    assert "4000 samples, 8.0 ps" in printed
    assert "window bohman, resolution 100 cm⁻¹" in printed
    assert "IR, α·n" in printed
    assert "Raman, VV" in printed


def test_the_command_prints_the_bands(stored, capsys):
    assert run(stored, "--resolution", 150) == 0
    table = capsys.readouterr().out.split("Raman")[0].splitlines()
    positions = [float(line.split()[0]) for line in table if line.startswith("   ")]
    assert positions == pytest.approx([1650.0, 3400.0], abs=25.0)


def test_the_command_takes_other_settings_and_plots(stored, result, tmp_path):
    output = tmp_path / "other.h5"
    words = ["--resolution", "200", "--window", "hann", "--temperature", "600"]
    run(stored, *words, "--output", output, "--plots", tmp_path / "new" / "plots")
    other = read_result(output)
    ir = other.spectra["ir"]
    assert ir.resolution == pytest.approx(200.0)
    assert other.temperature == 600.0
    assert other.provenance["window"] == "hann"
    whole = compute_spectra(
        result.dipole, None, volume=1900.0, temperature=300.0,
        resolution=200.0, window="hann",
    )  # fmt: skip
    assert np.allclose(2 * ir.intensity, whole["ir"].intensity, rtol=1e-14)
    assert is_png(tmp_path / "new" / "plots" / "ir.png")
    assert is_png(tmp_path / "new" / "plots" / "raman.png")


def test_the_command_says_when_the_lags_are_too_few(stored):
    with pytest.raises(SettingsError, match="Ask for a resolution of"):
        run(stored, "--resolution", 5)


def test_zero_is_refused_and_not_taken_for_the_default(stored):
    with pytest.raises(SettingsError, match="resolution must be above 0"):
        run(stored, "--resolution", 0)
    with pytest.raises(SettingsError, match="temperature must be above 0"):
        run(stored, "--temperature", 0)


def test_the_command_refuses_a_result_without_correlations(tmp_path):
    path = tmp_path / "empty.h5"
    write_result(path, Result(None, None, {}, 1900.0, 300.0, 2.0))
    with pytest.raises(FormatError, match="holds no correlation"):
        run(path)


def test_a_picture_of_an_unknown_kind_is_refused_by_name(result, tmp_path):
    with pytest.raises(SettingsError, match=r"must end in \.png.* but is ir\.foo"):
        plot_ir(result, tmp_path / "ir.foo")
