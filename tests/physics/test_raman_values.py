"""Raman invariants against an average over all orientations, and absolute numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.currents import from_voigt, to_voigt
from mimyria.errors import IncompatibleError, SettingsError, UnitError
from mimyria.spectra import (
    anisotropic_correlation,
    isotropic_correlation,
    no_window,
    raman_cross_section,
    raman_spectra,
    window_of_length,
)
from mimyria.spectra.scattering import RAMAN_UNIT
from mimyria.spectra.spectrum import Spectrum
from mimyria.units import POLARIZABILITY_CORRELATION_UNIT, RAMAN_CONSTANT

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
N_LAGS = 40


def correlate(voigt_series, pairs=None):
    correlator = Correlator(6, N_LAGS, 0.5, POLARIZABILITY_CORRELATION_UNIT, pairs)
    correlator.push(voigt_series)
    return correlator.result()


def coloured_series(seed, n_samples=400):
    """Correlated noise for dα/dt, with a trace, so that no invariant is small."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_samples + 8, 3, 3))
    smooth = sum(noise[k : k + n_samples] for k in range(8))
    return to_voigt(smooth + 2.0 * np.eye(3) * rng.normal(size=(n_samples, 1, 1)))


def test_invariants_are_the_average_over_all_orientations(orientations):
    series = coloured_series(1)
    tensors = from_voigt(series)
    vv = vh = 0.0
    for rotation, weight in orientations:
        turned = to_voigt(np.einsum("ax,by,txy->tab", rotation, rotation, tensors))
        correlation = correlate(turned)
        vv = vv + weight * correlation.column(2, 2)  # light polarised along z, z seen
        vh = vh + weight * correlation.column(4, 4)  # z in, x seen
    correlation = correlate(series)
    iso = isotropic_correlation(correlation)
    g2 = anisotropic_correlation(correlation)
    assert np.abs(iso + 4 / 45 * g2 - vv).max() < 1e-11 * vv[0]
    assert np.abs(g2 / 15 - vh).max() < 1e-11 * vh[0]


def test_spectra_do_not_change_when_the_whole_run_is_rotated():
    rng = np.random.default_rng(2)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    series = coloured_series(2)
    turned = to_voigt(
        np.einsum("ax,by,txy->tab", rotation, rotation, from_voigt(series))
    )
    window = window_of_length("bohman", 15.0, N_LAGS, 0.5)
    here = raman_spectra(correlate(series), window=window)
    there = raman_spectra(correlate(turned), window=window)
    for name, spectrum in here.items():
        assert np.allclose(
            spectrum.intensity,
            there[name].intensity,
            rtol=0,
            atol=1e-11 * np.nanmax(spectrum.intensity),
            equal_nan=True,
        ), name


def test_invariants_equal_traces_of_the_tensors():
    series = coloured_series(3)
    tensors = from_voigt(series)
    mean = np.einsum("taa->t", tensors) / 3
    beta = tensors - mean[:, np.newaxis, np.newaxis] * np.eye(3)
    correlation = correlate(series)
    for lag in (0, 1, 17, 39):
        n = len(series) - lag
        iso = (mean[:n] * mean[lag:]).mean()
        trace = np.einsum("tab,tba->t", beta[:n], beta[lag:]).mean()
        assert isotropic_correlation(correlation)[lag] == pytest.approx(iso, abs=1e-12)
        g2 = anisotropic_correlation(correlation)[lag]
        assert g2 == pytest.approx(1.5 * trace, abs=1e-11)


def test_placzek_components_give_the_same_anisotropy():
    """γ² = ½ Σ (α_aa − α_bb)² + 3 Σ α_ab²."""
    correlation = correlate(coloured_series(4))
    c = correlation.column

    def difference(a, b):
        return c(a, a) + c(b, b) - 2 * c(a, b)

    expected = 0.5 * (difference(0, 1) + difference(1, 2) + difference(2, 0))
    expected = expected + 3 * (c(3, 3) + c(4, 4) + c(5, 5))
    g2 = anisotropic_correlation(correlation)
    assert np.abs(g2 - expected).max() < 1e-12 * g2[0]


def test_spectra_are_the_table_of_geometries():
    spectra = raman_spectra(
        correlate(coloured_series(5)), window=no_window(N_LAGS, 0.5)
    )
    iso, g2 = spectra["raman_iso"].intensity, spectra["raman_aniso"].intensity
    vv, vh = spectra["raman_vv"].intensity, spectra["raman_vh"].intensity
    scale = np.abs(vv).max()
    assert np.abs(vv - (iso + 4 / 3 * vh)).max() < 1e-14 * scale
    assert np.abs(vh - g2 / 15).max() < 1e-14 * scale
    unpolarised = spectra["raman_unpolarised"].intensity
    assert np.abs(unpolarised - (vv + vh)).max() < 1e-14 * scale
    assert list(spectra) == [
        "raman_iso",
        "raman_aniso",
        "raman_vv",
        "raman_vh",
        "raman_unpolarised",
        "depolarisation_ratio",
    ]


def harmonic_series(iso, traceless, n_samples=20_000):
    """A breathing mode at one wavenumber and a traceless mode at another, and noise."""
    rng = np.random.default_rng(6)
    time = 0.5 * np.arange(n_samples)
    series = 1e-4 * rng.normal(size=(n_samples, 6))
    series[:, :3] += (iso * np.cos(0.2 * time))[:, np.newaxis]
    series[:, 0] += traceless * np.cos(0.6 * time)
    series[:, 1] -= traceless * np.cos(0.6 * time)
    return series


def test_depolarisation_is_zero_for_breathing_and_three_quarters_without_trace():
    correlator = Correlator(6, 1000, 0.5, POLARIZABILITY_CORRELATION_UNIT)
    correlator.push(harmonic_series(1.0, 1.0))
    window = window_of_length("gaussian", 499.0, 1000, 0.5)
    spectra = raman_spectra(correlator.result(), window=window)
    ratio = spectra["depolarisation_ratio"]
    omega = 2 * np.pi * 2.99792458e-5 * ratio.wavenumbers
    assert ratio.intensity[np.argmin(np.abs(omega - 0.2))] < 1e-3
    assert ratio.intensity[np.argmin(np.abs(omega - 0.6))] == pytest.approx(
        0.75, abs=1e-3
    )
    # Between the two there is only noise, and a ratio of noise says nothing.
    between = (omega > 0.35) & (omega < 0.45)
    assert np.isnan(ratio.intensity[between]).all()
    assert np.isnan(ratio.error[between]).all()
    assert ratio.unit == "1"


def flat_spectrum(wavenumbers):
    ones = np.ones(len(wavenumbers))
    return Spectrum(np.array(wavenumbers), ones, RAMAN_UNIT, "raman_vv", ones, 10.0)


@pytest.mark.parametrize(
    ("nu", "factor"),
    [
        (200.0, 9.69616916e14),
        (981.0, 1.03638254e14),
        (1650.0, 5.24115259e13),
        (3400.0, 1.65296900e13),
    ],
)
def test_the_cross_section_has_the_stated_factor(nu, factor):
    spectrum = raman_cross_section(
        flat_spectrum([0.0, nu]), temperature=300.0, laser_wavelength=532.0
    )
    assert spectrum.wavenumbers.tolist() == [nu]  # zero is left out: 1/ν² there
    assert spectrum.intensity[0] * 300.0 / RAMAN_CONSTANT == pytest.approx(
        factor, rel=1e-8
    )
    assert spectrum.error[0] == spectrum.intensity[0]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no test values at {DATA}")
def test_the_cross_section_has_the_stored_factor():
    values = json.loads((DATA / "test_values.json").read_text())
    stored = values["raman_factor_532nm_300K"]
    wavenumbers = [float(nu) for nu in stored]
    spectrum = raman_cross_section(
        flat_spectrum(wavenumbers), temperature=300.0, laser_wavelength=532.0
    )
    factors = spectrum.intensity * 300.0 / RAMAN_CONSTANT
    assert factors == pytest.approx(list(stored.values()), rel=1e-9)
    constant = values["constants"]["K_Raman_cm6_K_per_a06_fs"]
    assert pytest.approx(constant, rel=1e-8) == RAMAN_CONSTANT


def test_a_shift_beyond_the_laser_is_refused():
    with pytest.raises(SettingsError, match="must stay below the laser at 18797"):
        raman_cross_section(
            flat_spectrum([0.0, 2e4]), temperature=300.0, laser_wavelength=532.0
        )


def test_raman_without_crosses_is_refused():
    autos = correlate(coloured_series(7), pairs=[(u, u) for u in range(6)])
    with pytest.raises(IncompatibleError, match="channels 0 and 1 were not correlated"):
        raman_spectra(autos, window=no_window(N_LAGS, 0.5))


def test_the_correlation_of_another_quantity_is_refused():
    dipole = Correlator(3, N_LAGS, 0.5, "e^2 Angstrom^2 fs^-2").result()
    with pytest.raises(UnitError, match="Is it the dipole's"):
        raman_spectra(dipole, window=no_window(N_LAGS, 0.5))
