"""Bands of two standard errors hold the truth as often as they should.

Simulated runs of damped oscillators driven by noise, an autoregressive process of
second order, whose correlation function is known in closed form. The truth is the
expectation of the estimate: the exact correlation under the same window.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from mimyria.correlation import Correlation, all_pairs
from mimyria.correlators import Correlator
from mimyria.spectra import compute_spectra
from mimyria.spectra.catalogue import Conditions
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.quantities import compute_quantities
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

INTERVAL = 1.0
LINES = ((0.32, 0.02), (0.62, 0.03))  # rad and decay per sample: 1700 and 3300 cm^-1
SETTINGS = {
    "volume": 1000.0,
    "temperature": 300.0,
    "resolution": 250.0,
    "max_wavenumber": 4000.0,
}
N_LAGS = 202


def simulate(rng, n_samples, n_channels):
    total = np.zeros((n_samples, n_channels))
    for frequency, decay in LINES:
        r = np.exp(-decay)
        noise = rng.normal(size=(n_samples + 600, n_channels))
        series = lfilter([1.0], [1.0, -2 * r * np.cos(frequency), r * r], noise, axis=0)
        total += series[600:]
    return total


def exact_correlation(n_lags):
    """C(l) of one channel: C(0), C(1) of the Yule-Walker equations, then recursion."""
    total = np.zeros(n_lags)
    for frequency, decay in LINES:
        a, b = 2 * np.exp(-decay) * np.cos(frequency), -np.exp(-2 * decay)
        values = np.zeros(n_lags)
        values[0] = (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2))
        values[1] = a * values[0] / (1 - b)
        for lag in range(2, n_lags):
            values[lag] = a * values[lag - 1] + b * values[lag - 2]
        total += values
    return total


def truth_of(n_channels, unit):
    """The correlation of infinitely many samples: crosses are zero."""
    pairs = all_pairs(n_channels)
    values = np.zeros((N_LAGS, len(pairs)))
    values[:, :n_channels] = exact_correlation(N_LAGS)[:, np.newaxis]
    lags = INTERVAL * np.arange(N_LAGS)
    counts = np.full(N_LAGS, 10**9)
    return Correlation(lags, values, counts, pairs, unit, 10**9)


def run(rng, n_samples, n_segments, n_channels, unit):
    correlator = Correlator(n_channels, N_LAGS, INTERVAL, unit)
    for _ in range(n_segments):
        correlator.push(simulate(rng, n_samples // n_segments, n_channels))
        correlator.end_segment()
    return correlator.result()


def coverage(n_runs, n_samples, n_segments=1, *, raman=False):
    rng = np.random.default_rng(n_runs + n_segments)
    n_channels = 6 if raman else 3
    unit = POLARIZABILITY_CORRELATION_UNIT if raman else DIPOLE_CORRELATION_UNIT

    def spectra(correlation):
        pair = (None, correlation) if raman else (correlation, None)
        return compute_spectra(*pair, **SETTINGS)

    truth = spectra(truth_of(n_channels, unit))
    inside = {name: [] for name in truth}
    for _ in range(n_runs):
        found = spectra(run(rng, n_samples, n_segments, n_channels, unit))
        for name, spectrum in found.items():
            assert spectrum.error_dof >= 11
            off = np.abs(spectrum.intensity - truth[name].intensity)
            known = np.isfinite(off)
            inside[name].append((off <= 2 * spectrum.error)[known])
    return {name: float(np.concatenate(hits).mean()) for name, hits in inside.items()}


def check(found):
    for name, share in found.items():
        assert 0.90 <= share <= 0.97, (name, found)


@pytest.mark.parametrize("n_segments", [1, 16])
def test_the_truth_lies_within_two_errors_of_the_ir(n_segments):
    check(coverage(200, 24_000, n_segments))


def test_the_truth_lies_within_two_errors_of_the_raman_and_the_ratio():
    check(coverage(60, 24_000, raman=True))


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [12_000, 50_000])
@pytest.mark.parametrize("n_segments", [1, 5, 40])
@pytest.mark.parametrize("raman", [False, True])
def test_the_truth_lies_within_two_errors_for_any_length(n_samples, n_segments, raman):
    check(coverage(200, n_samples, n_segments, raman=raman))


def test_the_truth_lies_within_two_errors_of_n_and_kappa_which_are_not_linear():
    # Weak enough for a real liquid: n near √ε∞, κ up to some tenths.
    scale = 1e-5
    conditions = Conditions(
        Cell(1000.0, 300.0, eps_inf=1.78), resolution=250.0, max_wavenumber=4000.0
    )
    names = ("refractive_index", "extinction", "permittivity_real", "absorption")

    def spectra(correlation):
        found = compute_quantities(names, scaled(correlation, scale), None, conditions)
        # Below 500 cm⁻¹ ε has the whole absorption in its tail, over ω.
        return {name: s.between(500.0, 4000.0) for name, s in found.items()}

    truth = spectra(truth_of(3, DIPOLE_CORRELATION_UNIT))
    inside = {name: [] for name in truth}
    rng = np.random.default_rng(9)
    for _ in range(60):
        found = spectra(run(rng, 24_000, 1, 3, DIPOLE_CORRELATION_UNIT))
        for name, spectrum in found.items():
            assert spectrum.error_dof >= 11
            off = np.abs(spectrum.intensity - truth[name].intensity)
            inside[name].append(off <= 2 * spectrum.error)
    check({name: float(np.concatenate(hits).mean()) for name, hits in inside.items()})


def scaled(correlation, factor):
    """The correlation in another size, with its blocks."""
    blocks = correlation.blocks
    return replace(
        correlation,
        values=factor * correlation.values,
        blocks=None
        if blocks is None
        else replace(blocks, values=factor * blocks.values),
    )
