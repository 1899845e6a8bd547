"""The jackknife against closed forms, for outputs that are linear and that are not."""

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.spectra import compute_spectra, find_band
from mimyria.spectra.jackknife import (
    halves,
    jackknife_error,
    usable_blocks,
    without_each_block,
)
from mimyria.spectra.replicates import replicates, with_errors
from mimyria.spectra.windows import window_for_resolution
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT


def test_of_a_mean_of_equal_blocks_is_their_scatter_over_the_root():
    blocks = np.random.default_rng(1).normal(size=(12, 5))
    without = (blocks.sum(axis=0) - blocks) / 11
    error = jackknife_error(blocks.mean(axis=0), without, np.full(12, 100))
    expected = blocks.std(axis=0, ddof=1) / np.sqrt(12)
    assert error == pytest.approx(expected, rel=1e-12)


def test_of_equal_blocks_is_the_usual_delete_one_formula_for_a_ratio():
    x, y = np.random.default_rng(2).normal(5.0, 1.0, size=(2, 10))
    without = [(x.sum() - a) / (y.sum() - b) for a, b in zip(x, y, strict=True)]
    error = jackknife_error(x.sum() / y.sum(), without, np.ones(10))
    spread = np.sum((np.array(without) - np.mean(without)) ** 2)
    # The two forms differ by the small bias of the ratio only.
    assert error == pytest.approx(np.sqrt(9 / 10 * spread), rel=2e-3)


def test_of_unequal_blocks_is_right_in_the_mean():
    rng = np.random.default_rng(3)
    sizes = np.array([5, 50, 10, 80, 20, 20, 40, 10, 5, 60])
    variances = []
    for _ in range(4000):
        sums = rng.normal(size=10) * np.sqrt(sizes)
        without = (sums.sum() - sums) / (sizes.sum() - sizes)
        variances.append(jackknife_error(sums.sum() / sizes.sum(), without, sizes) ** 2)
    assert np.mean(variances) == pytest.approx(1 / sizes.sum(), rel=0.04)


def test_a_masked_replicate_is_left_out_and_a_masked_value_has_no_error():
    without = [[1.0, 1.0], [2.0, np.nan], [np.nan, 1.0], [3.0, 2.0]]
    error = jackknife_error([2.0, np.nan], without, np.ones(4))
    assert np.isfinite(error[0])
    assert np.isnan(error[1])


def dipole(n_samples, n_lags=50, seed=4):
    correlator = Correlator(3, n_lags, 0.5, DIPOLE_CORRELATION_UNIT)
    correlator.push(np.random.default_rng(seed).normal(size=(n_samples, 3)))
    return correlator.result()


def test_without_a_block_is_the_sum_of_the_others():
    correlation = dipole(9000)
    blocks = correlation.blocks
    for k, part in enumerate(without_each_block(correlation, blocks)):
        others = np.arange(blocks.n_blocks) != k
        assert np.array_equal(part.counts, blocks.counts[others].sum(axis=0))
        sums = blocks.sums()[others].sum(axis=0)
        assert np.allclose(
            part.values, sums / part.counts[:, np.newaxis], rtol=0, atol=1e-12
        )


def test_the_halves_make_the_whole():
    correlation = dipole(9000)
    first, second = halves(correlation)
    assert abs(first.n_samples - second.n_samples) <= 512
    sums = sum(h.values * h.counts[:, np.newaxis] for h in (first, second))
    whole = correlation.values * correlation.counts[:, np.newaxis]
    assert np.allclose(sums, whole, rtol=0, atol=1e-9)
    assert halves(dipole(100)) is None


def test_few_or_short_blocks_leave_the_error_of_theory():
    settings = {"volume": 1e3, "temperature": 300.0, "resolution": 2400.0}
    n_window = 42  # 20.8 fs for a Gaussian window of this resolution
    short = compute_spectra(dipole(8 * 4 * n_window - 300), None, **settings)["ir"]
    assert short.error_dof is None
    enough = compute_spectra(dipole(30 * 256), None, **settings)["ir"]
    assert enough.error_dof >= 7
    assert enough.dof == pytest.approx(short.dof * 30 * 256 / (32 * 42 - 300), rel=0.2)
    assert usable_blocks(dipole(9000), 50).samples.mean() >= 200
    assert usable_blocks(dipole(9000), 5000) is None


@pytest.mark.parametrize("windows", [33, 40, 50, 55, 63, 65, 100])
def test_a_run_of_over_32_windows_has_block_errors(windows):
    n_lags = 301
    correlation = dipole(windows * n_lags, n_lags)
    blocks = usable_blocks(correlation, n_lags)
    assert 8 <= blocks.n_blocks < 32
    assert np.median(blocks.samples) >= 4 * n_lags
    assert usable_blocks(dipole(24 * n_lags, n_lags), n_lags) is None


def test_every_spectrum_of_a_run_has_block_errors():
    rng = np.random.default_rng(5)
    alpha = Correlator(6, 50, 0.5, POLARIZABILITY_CORRELATION_UNIT)
    alpha.push(rng.normal(size=(12_000, 6)))
    spectra = compute_spectra(
        None, alpha.result(), volume=1e3, temperature=300.0, resolution=2400.0
    )
    assert "depolarisation_ratio" in spectra
    for spectrum in spectra.values():
        assert spectrum.error_dof >= 7
        known = np.isfinite(spectrum.intensity)
        assert (spectrum.error[known] > 0).all()


def test_the_error_of_a_peak_position_is_its_scatter_over_runs():
    """Damped oscillators; the position is a nonlinear output of the correlation."""
    n_lags, n_samples = 150, 40_000
    settings = {
        "volume": 1e3,
        "temperature": 300.0,
        "resolution": 500.0,
        "window": "hann",
    }
    rng = np.random.default_rng(6)
    positions, errors = [], []
    for _ in range(60):
        correlator = Correlator(3, n_lags, 1.0, DIPOLE_CORRELATION_UNIT)
        correlator.push(oscillators(rng, n_samples))

        def compute(c):
            return compute_spectra(c, None, **settings)

        window = window_for_resolution("hann", 500.0, n_lags, 1.0)
        found = replicates(compute, correlator.result(), window)

        def position(spectra):
            return find_band(spectra["ir"], 1000.0, 2500.0).position

        positions.append(position(found.whole))
        errors.append(found.error_of(position))
    scatter = np.std(positions, ddof=1)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(scatter, rel=0.25)


def oscillators(rng, n_samples, frequency=0.33, decay=0.03):
    """Three series of a damped oscillator that noise drives."""
    from scipy.signal import lfilter

    r = np.exp(-decay)
    noise = rng.normal(size=(n_samples + 1000, 3))
    return lfilter([1.0], [1.0, -2 * r * np.cos(frequency), r * r], noise, axis=0)[
        1000:
    ]


def test_an_output_without_an_error_of_theory_gets_one_from_blocks():
    from dataclasses import replace

    correlation = dipole(20_000)

    def compute(c):
        ir = compute_spectra(c, None, volume=1e3, temperature=300.0, resolution=2400.0)[
            "ir"
        ]
        root = replace(ir, intensity=np.sqrt(ir.intensity), error=None, name="root")
        return {"ir": ir, "root": root}

    window = window_for_resolution("gaussian", 2400.0, 50, 0.5)
    found = with_errors(compute, correlation, window)
    ir, root = found["ir"], found["root"]
    linear = ir.error / (2 * np.sqrt(ir.intensity))
    assert root.error == pytest.approx(linear, rel=0.05)
    assert root.dof is None
