"""`mimyria spectrum` with quantities, geometries and corrections."""

import argparse

import numpy as np
import pytest

from mimyria.cli import spectrum as command
from mimyria.errors import SettingsError
from mimyria.spectra.integrator import true_wavenumber
from mimyria.storage import read_result, write_result

N_LAGS, INTERVAL = 200, 2.0
CELL = {"volume": 1900.0, "temperature": 300.0}
SERIES = {
    "n_lags": N_LAGS,
    "interval": INTERVAL,
    "n_steps": 8000,
    "noise": 1e-3,
    "amplitudes": (1e-3, 3e-3),
    "cell": CELL,
    "resolution": 120.0,
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory, two_bands):
    path = tmp_path_factory.mktemp("run") / "result.h5"
    write_result(path, two_bands(**SERIES))
    return path


def run(*words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["spectrum", *map(str, words)])
    return arguments.run(arguments)


def test_all_quantities_are_written_drawn_and_printed(stored, tmp_path, capsys):
    output, plots = tmp_path / "all.h5", tmp_path / "plots"
    words = ["--quantity", "all", "--eps-inf", 1.78, "--molecules", 64]
    run(stored, *words, "--output", output, "--plots", plots)
    result = read_result(output)
    for name in ("absorption", "permittivity_real", "refractive_index", "extinction",
                 "molar_absorption", "conductivity", "permittivity_imag_xy",
                 "raman_natural_90", "depolarisation_ratio_natural"):  # fmt: skip
        assert result.spectra[name].error is not None, name
        assert (plots / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert result.provenance["spectrum_eps_inf"] == 1.78
    printed = capsys.readouterr().out
    assert "refractive index, n (refractive_index) / 1" in printed
    assert "note:" not in printed


def test_all_says_what_was_left_out_and_why(stored, capsys):
    run(stored, "--quantity", "all")
    printed = capsys.readouterr().out
    start = "note: left out, for want of"
    assert f"{start} eps_inf (--eps-inf): absorp" in printed
    assert f"{start} n_molecules (--molecules): naperian_molar" in printed


def test_the_electronic_permittivity_may_come_from_a_polarizability(stored, tmp_path):
    output = tmp_path / "eps.h5"
    volume_bohr = 1900.0 / 0.529177210903**3
    mean = 0.78 * volume_bohr / (4 * np.pi)
    run(stored, "--quantity", "permittivity_real", "--mean-polarizability", mean,
        "--output", output)  # fmt: skip
    reference = tmp_path / "constant.h5"
    run(stored, "--quantity", "permittivity_real", "--eps-inf", 1.78,
        "--output", reference)  # fmt: skip
    one, other = (
        read_result(path).spectra["permittivity_real"].intensity
        for path in (output, reference)
    )
    assert np.allclose(one, other, rtol=1e-8)
    with pytest.raises(SettingsError, match="--eps-inf or --mean-polarizability, not"):
        run(stored, "--quantity", "ir", "--eps-inf", 1.8, "--mean-polarizability", 9)


def test_a_raman_experiment_has_its_own_names(stored, tmp_path):
    output = tmp_path / "stokes.h5"
    words = ["--raman-kind", "stokes", "--laser", 532, "--output", output]
    run(stored, *words, "--min-wavenumber", 100)
    result = read_result(output)
    stokes = result.spectra["raman_vv_stokes"]
    assert stokes.unit == "cm^2 sr^-1 cm"
    assert stokes.wavenumbers[0] >= 100.0
    assert {"raman_vh_stokes", "raman_unpolarised_stokes"} <= set(result.spectra)
    assert result.spectra["raman_vv"].wavenumbers[0] == 0.0
    assert result.provenance["spectrum_laser"] == 532.0
    with pytest.raises(SettingsError, match="needs the wavelength of the laser"):
        run(stored, "--raman-kind", "stokes")


def test_options_are_refused_where_they_would_do_nothing(stored):
    for words in (["--laser", 532], ["--detector", "photons"]):
        with pytest.raises(SettingsError, match=f"{words[0]} belongs to --raman-kind"):
            run(stored, *words)
        with pytest.raises(SettingsError, match="belongs to --raman-kind"):
            run(stored, *words, "--raman-kind", "reduced")


def test_what_is_missing_is_named_by_its_option(stored):
    with pytest.raises(SettingsError, match=r"needs eps_inf \(--eps-inf\)"):
        run(stored, "--quantity", "absorption")
    with pytest.raises(SettingsError, match=r"needs n_molecules \(--molecules\)"):
        run(stored, "--quantity", "naperian_molar")


def test_geometries_and_scans_are_spectra_of_their_own(stored, tmp_path, capsys):
    output = tmp_path / "porto.h5"
    run(stored, "--geometry", "z(xy)z", "--geometry", "x(xz)y", "--output", output)
    spectra = read_result(output).spectra
    assert {"raman_z(xy)z", "raman_x(xz)y"} <= set(spectra)
    assert (
        "note: x(xz)y: the incident polarisation has a part" in capsys.readouterr().out
    )
    scan = tmp_path / "scan.h5"
    run(stored, "--geometry", "z(xx)z", "--turn", "0:180:45", "--output", scan)
    spectra = read_result(scan).spectra
    names = [f"raman_z(xx)z@{angle}" for angle in (0, 45, 90, 135, 180)]
    assert set(names) <= set(spectra)
    first, last = (spectra[names[k]].intensity for k in (0, -1))
    assert np.allclose(first, last, rtol=1e-9)
    with pytest.raises(SettingsError, match="--turn needs a --geometry"):
        run(stored, "--turn", "0:180:45")
    for text in ("0:180", "0:180:0", "0:-90:45", "a:b:c"):
        with pytest.raises(SettingsError, match="must be FROM:TO:STEP in degrees"):
            run(stored, "--geometry", "z(xx)z", "--turn", text)


def test_corrections_are_named_in_file_and_report(stored, tmp_path, capsys):
    output = tmp_path / "corrected.h5"
    words = ["--quantum-correction", "schofield", "--correct-integrator", 0.5]
    run(stored, *words, "--output", output)
    result = read_result(output)
    assert "ir_schofield" in result.spectra
    assert result.provenance["spectrum_quantum_correction"] == "schofield"
    assert result.provenance["spectrum_correct_integrator"] == 0.5
    plain = read_result(stored).spectra["ir"]
    corrected = result.spectra["ir"]
    assert np.array_equal(corrected.intensity, plain.intensity)
    expected = true_wavenumber(plain.wavenumbers, 0.5)
    assert np.array_equal(corrected.wavenumbers, expected)
    printed = capsys.readouterr().out
    assert "note: the schofield quantum correction is in these quantities" in printed
    assert (
        "note: all wavenumbers are corrected for an integrator step of 0.5" in printed
    )


def test_an_unknown_quantity_is_answered_with_the_known_ones(stored):
    with pytest.raises(SettingsError, match="known are ir, absorption"):
        run(stored, "--quantity", "colour")


def test_the_help_lists_every_quantity(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    assert "depolarisation_ratio_natural" in printed
    assert "[--eps-inf, --molecules]" in printed
