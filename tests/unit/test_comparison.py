"""Scores: what they are for equal, scaled, shifted and merely noisy spectra."""

import math

import numpy as np
import pytest

from mimyria.comparison import (
    bray_curtis,
    chi_square,
    compare,
    integral,
    on_common_grid,
    wasserstein,
)
from mimyria.correlators import Correlator
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.spectra import Spectrum, compute_spectra
from mimyria.units import DIPOLE_CORRELATION_UNIT


def lines(grid, shift=0.0):
    """Two bands on a small background."""
    bands = ((1650.0, 30.0, 1.0), (3400.0, 120.0, 5.0))
    return 0.02 + sum(
        height * np.exp(-(((grid - centre - shift) / width) ** 2))
        for centre, width, height in bands
    )


def spectrum(grid, values=None, error=None, unit="cm^-1"):
    values = lines(grid) if values is None else values
    return Spectrum(np.asarray(grid), np.asarray(values), unit, "ir", error, 10.0)


def test_the_same_spectrum_on_two_grids_scores_zero():
    coarse = spectrum(np.linspace(0.0, 4000.0, 501))
    fine = spectrum(np.linspace(100.0, 4500.0, 1733))
    found = compare(coarse, fine)
    assert found.bray_curtis < 1e-3
    assert found.cosine > 1 - 1e-6
    assert abs(found.shift) < 0.05
    assert found.wasserstein < 0.2
    assert (found.low, found.high) == (100.0, 4000.0)
    # What a row-by-row comparison of the two files gives instead.
    rows = lines(fine.wavenumbers)[:501]
    wrong = np.abs(rows - coarse.intensity).sum() / (rows + coarse.intensity).sum()
    assert wrong > 0.8


def test_the_order_of_the_two_does_not_matter():
    one = spectrum(np.linspace(0.0, 4000.0, 801))
    two = spectrum(np.linspace(0.0, 4000.0, 777), lines(np.linspace(0, 4000, 777), 30))
    there, back = compare(one, two), compare(two, one)
    for name in ("bray_curtis", "cosine", "wasserstein"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), abs=1e-12)
    assert there.shift == pytest.approx(-back.shift)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_scale_acts_on_bray_curtis_alone(scale):
    grid = np.linspace(0.0, 4000.0, 801)
    one, two = spectrum(grid), spectrum(grid, scale * lines(grid))
    found = compare(one, two)
    assert found.bray_curtis == pytest.approx(abs(1 - scale) / (1 + scale), abs=1e-12)
    assert found.cosine == pytest.approx(1.0)
    assert found.shift == pytest.approx(0.0, abs=1e-9)
    assert found.wasserstein == pytest.approx(0.0, abs=1e-9)
    assert found.areas[1] / found.areas[0] == pytest.approx(scale)
    shape = compare(one, two, normalisation="area")
    assert shape.bray_curtis == pytest.approx(0.0, abs=1e-12)


def test_a_shift_is_found_in_wavenumbers():
    grid = np.linspace(0.0, 5000.0, 5001)
    one = spectrum(grid, lines(grid) - 0.02)
    two = spectrum(grid, lines(grid, 25.0) - 0.02)
    found = compare(one, two)
    assert found.shift == pytest.approx(25.0, abs=1e-3)
    assert found.wasserstein == pytest.approx(25.0, abs=1e-3)


def test_wasserstein_is_the_distance_of_two_sharp_lines():
    grid = np.arange(0.0, 1000.0)
    one, two = np.zeros((2, 1000))
    one[200], two[700] = 3.0, 1.0
    assert wasserstein(spectrum(grid, one), spectrum(grid, two)) == pytest.approx(500)


def test_spectra_without_overlap_score_one():
    grid = np.linspace(0.0, 1000.0, 501)
    one = np.where(grid < 300, 1.0, 0.0)
    two = np.where(grid > 700, 1.0, 0.0)
    found = compare(spectrum(grid, one), spectrum(grid, two))
    assert found.bray_curtis == pytest.approx(1.0)
    assert found.cosine == pytest.approx(0.0, abs=1e-12)


def noisy_run(seed, n_samples=8_000, n_lags=300):
    """White noise in three channels: the spectrum is flat, its error is known."""
    correlator = Correlator(3, n_lags, 2.0, DIPOLE_CORRELATION_UNIT)
    correlator.push(1e-2 * np.random.default_rng(seed).normal(size=(n_samples, 3)))
    return compute_spectra(
        correlator.result(),
        None,
        volume=1000.0,
        temperature=300.0,
        resolution=100.0,
        max_wavenumber=8000.0,
    )["ir"].between(300.0, 8000.0)


@pytest.fixture(scope="module")
def runs():
    return [noisy_run(seed) for seed in range(60)]


def test_two_independent_runs_score_r_over_root_pi(runs):
    found = [compare(runs[i], runs[i + 1]) for i in range(0, 60, 2)]
    r = np.mean([np.mean(run.error / run.intensity) for run in runs])
    scores = np.mean([each.bray_curtis for each in found])
    assert scores == pytest.approx(r / math.sqrt(math.pi), rel=0.05)
    for each in found:
        assert each.floor == pytest.approx(r / math.sqrt(math.pi), rel=0.03)
    assert np.mean([each.chi_square for each in found]) == pytest.approx(1.0, abs=0.2)


def test_the_error_of_moment_and_integral_is_their_scatter(runs):
    pairs = [compare(runs[i], runs[i + 1]) for i in range(0, 60, 2)]
    shifts = np.array([each.shift for each in pairs])
    claimed = np.mean([each.shift_error for each in pairs])
    assert np.sqrt(np.mean(shifts**2)) == pytest.approx(claimed, rel=0.4)
    areas, errors = np.array([integral(run) for run in runs]).T
    assert areas.std() == pytest.approx(errors.mean(), rel=0.35)


def test_chi_square_sees_a_difference_that_the_noise_does_not_explain():
    grid = np.linspace(0.0, 1000.0, 501)
    error = np.full(501, 0.1)
    one = spectrum(grid, np.ones(501), error)
    two = spectrum(grid, 1.5 * np.ones(501), error)
    assert chi_square(one, two) == pytest.approx(0.25 / 0.02)
    assert math.isnan(chi_square(spectrum(grid), spectrum(grid)))


def test_an_experiment_without_errors_counts_as_exact():
    grid = np.linspace(0.0, 1000.0, 501)
    one = spectrum(grid, np.ones(501), np.full(501, 0.1))
    found = compare(one, spectrum(grid, np.ones(501)))
    assert found.floor == pytest.approx(0.1 / math.sqrt(2 * math.pi))


def test_different_units_are_compared_by_shape_with_a_notice():
    grid = np.linspace(0.0, 4000.0, 801)
    found = compare(spectrum(grid), spectrum(grid, 7 * lines(grid), unit="ABSORBANCE"))
    assert found.normalisation == "area"
    assert found.bray_curtis == pytest.approx(0.0, abs=1e-12)
    assert "the units differ (cm^-1; ABSORBANCE)" in found.notices[0]


def test_masked_points_are_left_out_of_both():
    grid = np.linspace(0.0, 1000.0, 101)
    values = np.ones(101)
    values[40:60] = np.nan
    one, two = spectrum(grid, values), spectrum(grid, np.ones(101))
    both = on_common_grid(one, two)
    assert len(both[0].wavenumbers) == len(both[1].wavenumbers) == 81
    assert bray_curtis(*both) == pytest.approx(0.0, abs=1e-12)


def test_spectra_without_a_common_range_are_refused():
    low = spectrum(np.linspace(0.0, 100.0, 11))
    high = spectrum(np.linspace(200.0, 300.0, 11))
    with pytest.raises(IncompatibleError, match="must share a range"):
        compare(low, high)
    with pytest.raises(IncompatibleError, match="5000 to 6000 is asked for"):
        compare(low, low, low=5000, high=6000)


def test_what_has_no_area_is_not_normalised():
    grid = np.linspace(0.0, 100.0, 11)
    with pytest.raises(IncompatibleError, match="cannot be normalised"):
        compare(spectrum(grid, -np.ones(11)), spectrum(grid), normalisation="area")
    with pytest.raises(SettingsError, match="must be auto, none or area"):
        compare(spectrum(grid), spectrum(grid), normalisation="max")
