"""The error of a spectrum against the scatter of many simulated runs."""

import numpy as np
import pytest

from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.spectra import (
    compute_spectra,
    ir_absorption,
    raman_spectra,
    window_of_length,
)
from mimyria.spectra.transform import relative_error
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

N_LAGS = 101
INTERVAL = 0.5
N_SAMPLES = 4000
N_RUNS = 300


def coloured(rng, n_channels, n_samples=N_SAMPLES):
    """Noise with a smooth spectrum: a moving average over four samples."""
    noise = rng.normal(size=(n_samples + 3, n_channels))
    return sum((k + 1) * noise[k : k + n_samples] for k in range(4))


def simulate(n_channels, unit, spectra_of, n_segments=1):
    rng = np.random.default_rng(n_channels + n_segments)
    runs = []
    for _ in range(N_RUNS):
        correlator = Correlator(n_channels, N_LAGS, INTERVAL, unit)
        for _ in range(n_segments):
            correlator.push(coloured(rng, n_channels, N_SAMPLES // n_segments))
            correlator.end_segment()
        runs.append(spectra_of(correlator.result()))
    return runs


def observed_over_stated(spectra):
    """Standard deviation over runs, divided by the stated error of the mean run."""
    intensity = np.array([spectrum.intensity for spectrum in spectra])
    stated = np.array([spectrum.error for spectrum in spectra]).mean(axis=0)
    return intensity.std(axis=0, ddof=1) / stated


def rms(values):
    return float(np.sqrt((values**2).mean()))


WINDOW = window_of_length("hann", 50.0, N_LAGS, INTERVAL)


@pytest.mark.parametrize("n_segments", [1, 8])
def test_ir_error_is_the_scatter_of_runs(n_segments):
    spectra = simulate(
        3,
        DIPOLE_CORRELATION_UNIT,
        lambda c: ir_absorption(c, volume=1e3, temperature=300.0, window=WINDOW),
        n_segments,
    )
    ratio = observed_over_stated(spectra)
    strong = slice(0, 40)  # where the moving average has its power
    assert rms(ratio[strong]) == pytest.approx(1.0, abs=0.06)
    assert ratio[0] == pytest.approx(1.0, abs=0.15)  # √2 more at zero, and so stated


def test_raman_errors_are_the_scatter_of_runs():
    runs = simulate(
        6,
        POLARIZABILITY_CORRELATION_UNIT,
        lambda c: raman_spectra(c, window=WINDOW),
    )
    for name in (
        "raman_iso",
        "raman_aniso",
        "raman_vh",
    ):
        ratio = observed_over_stated([run[name] for run in runs])[:40]
        assert rms(ratio) == pytest.approx(1.0, abs=0.12), name


def beta_noise(rng, n_samples):
    """Isotropic tensor noise: five equal components of β and one trace."""
    series = np.zeros((n_samples, 6))
    five = coloured(rng, 5, n_samples)
    trace = coloured(rng, 1, n_samples)[:, 0]
    # Orthonormal basis of traceless symmetric tensors, Frobenius norm.
    series[:, 0] = trace + five[:, 0] / np.sqrt(2) - five[:, 1] / np.sqrt(6)
    series[:, 1] = trace - five[:, 0] / np.sqrt(2) - five[:, 1] / np.sqrt(6)
    series[:, 2] = trace + 2 * five[:, 1] / np.sqrt(6)
    series[:, 3:] = five[:, 2:] / np.sqrt(2)
    return series


def test_errors_of_an_isotropic_sample_hold_for_every_geometry():
    rng = np.random.default_rng(11)
    runs = []
    for _ in range(N_RUNS):
        correlator = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT)
        correlator.push(beta_noise(rng, N_SAMPLES))
        runs.append(raman_spectra(correlator.result(), window=WINDOW))
    for name in runs[0]:
        ratio = observed_over_stated([run[name] for run in runs])[:40]
        assert rms(ratio) == pytest.approx(1.0, abs=0.06), name


def test_the_error_is_the_closed_form_away_from_the_ends():
    counts = np.full(2001, 400_000)
    window = window_of_length("hann", 1000.0, 2001, INTERVAL)
    error = relative_error(counts, window, 4000, 3)
    # r = √(L/(4 N)) for a Hann window and three components: 2 ps of lags, 200 ps.
    expected = np.sqrt(2000 / (4 * 400_000))
    assert error[2000] == pytest.approx(expected, rel=1e-6)
    assert error[0] == pytest.approx(np.sqrt(2) * expected, rel=1e-12)
    assert error[-1] == pytest.approx(np.sqrt(2) * expected, rel=1e-12)


def test_the_error_falls_with_the_root_of_the_samples():
    window = window_of_length("gaussian", 50.0, N_LAGS, INTERVAL)
    few, many = (
        relative_error(np.full(N_LAGS, n), window, 100, 3) for n in (1000, 4000)
    )
    assert few == pytest.approx(2 * many, rel=1e-12)


def test_a_run_without_samples_has_an_infinite_error_and_no_warning():
    empty = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT).result()
    window = window_of_length("hann", 50.0, N_LAGS, INTERVAL)
    assert np.isinf(relative_error(empty.counts, window, 100, 3)).all()


def test_early_spectra_are_finite_however_few_the_samples():
    for n_samples in (0, 1, 5, 60):
        rng = np.random.default_rng(3)
        dipole = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT)
        alpha = Correlator(6, N_LAGS, INTERVAL, POLARIZABILITY_CORRELATION_UNIT)
        if n_samples:
            dipole.push(rng.normal(size=(n_samples, 3)))
            alpha.push(rng.normal(size=(n_samples, 6)))
        spectra = compute_spectra(
            dipole.result(),
            alpha.result(),
            volume=1e3,
            temperature=300.0,
            resolution=1000.0,
        )
        for name, spectrum in spectra.items():
            if name != "depolarisation_ratio":
                assert np.isfinite(spectrum.intensity).all(), (name, n_samples)


def test_compute_spectra_gives_the_parts_that_can_be_had():
    dipole = Correlator(3, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT)
    dipole.push(np.random.default_rng(4).normal(size=(500, 3)))
    result: Correlation = dipole.result()
    spectra = compute_spectra(
        result,
        None,
        volume=1e3,
        temperature=300.0,
        resolution=1000.0,
        max_wavenumber=4000.0,
    )
    assert list(spectra) == ["ir"]
    ir = spectra["ir"]
    assert ir.wavenumbers[0] == 0.0
    assert 3500.0 < ir.wavenumbers[-1] <= 4000.0
    assert ir.spacing <= 1000.0 / 8
    assert ir.resolution == pytest.approx(1000.0)
