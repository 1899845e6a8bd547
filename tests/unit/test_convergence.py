"""Relative errors, samples that are needed, and the rule that ends a run."""

import math

import numpy as np
import pytest

from mimyria.errors import SettingsError
from mimyria.spectra import Spectrum, window_of_length
from mimyria.spectra.convergence import (
    BandError,
    StopRule,
    band_errors,
    drift_between_halves,
    integrated_error,
    samples_beforehand,
    samples_needed,
)

GRID = np.linspace(0.0, 4000.0, 401)


def spectrum(relative=0.1, scale=1.0, error_kind="blocks"):
    intensity = scale * (1.0 + np.exp(-(((GRID - 1600) / 100) ** 2)))
    error = None if relative is None else relative * intensity
    return Spectrum(GRID, intensity, "cm^-1", "ir", error, 10.0, 60.0, 15, error_kind)


def band(error=0.02, target=0.03, drift=0.01, *, from_blocks=True, n_samples=1000):
    return BandError("ir", 0.0, 4000.0, error, target, n_samples, from_blocks, drift)


def test_the_relative_error_is_that_of_the_sums():
    assert integrated_error(spectrum(0.07), 0, 4000) == pytest.approx(0.07)
    assert integrated_error(spectrum(0.07), 1500, 1700) == pytest.approx(0.07)
    assert math.isinf(integrated_error(spectrum(None), 0, 4000))


def test_a_masked_point_counts_in_neither_sum():
    s = spectrum(0.07)
    s.intensity[10:50] = np.nan
    s.error[10:50] = np.nan
    assert integrated_error(s, 0, 4000) == pytest.approx(0.07)


def test_half_the_error_needs_four_times_the_samples():
    assert samples_needed(1000, 0.06, 0.03) == pytest.approx(4000)
    assert band(0.06, 0.03).needed == pytest.approx(4000)
    assert band(0.06, None).needed is None


def test_samples_beforehand_are_those_of_the_fact_sheet():
    window = window_of_length("hann", 2000.0, 4001, 0.5)
    needed = samples_beforehand(window, 3, 0.02)
    assert needed == pytest.approx(625 * 4000, rel=1e-3)


def test_independent_halves_differ_by_what_is_expected():
    rng = np.random.default_rng(1)
    r = 0.04
    drifts = []
    for _ in range(50):
        halves = []
        for _ in range(2):
            s = spectrum()
            s.intensity[:] *= 1 + math.sqrt(2) * r * rng.normal(size=len(GRID))
            halves.append(s)
        drifts.append(drift_between_halves(*halves, 0, 4000))
    expected = band(r).expected_drift
    assert np.mean(drifts) == pytest.approx(expected, rel=0.03)


def test_every_spectrum_with_a_target_is_looked_at_in_every_band():
    spectra = {"ir": spectrum(0.05), "raman_vv": spectrum(0.2)}
    found = band_errors(
        spectra,
        500,
        {"ir": 0.03, "raman_vv": None, "none": 0.1},
        [(0, 900), (900, 2e3)],
    )
    assert [(e.name, e.low, e.high) for e in found] == [
        ("ir", 0, 900),
        ("ir", 900, 2e3),
        ("raman_vv", 0, 900),
        ("raman_vv", 900, 2e3),
    ]
    assert found[0].needed == pytest.approx(500 * (5 / 3) ** 2)
    whole = band_errors(spectra, 500, {"ir": 0.03}, halves=(spectra, spectra))
    assert (whole[0].low, whole[0].high, whole[0].drift) == (0.0, 4000.0, 0.0)


def test_a_narrow_band_may_differ_more_because_it_has_few_points():
    spectra = {"ir": spectrum(0.05)}
    wide, narrow = (
        band_errors(spectra, 500, {"ir": 0.1}, [b], (spectra, spectra))[0]
        for b in ((0.0, 4000.0), (1600.0, 1640.0))
    )
    assert wide.most_drift == pytest.approx(1.5 * 1.05 * wide.expected_drift)
    assert narrow.most_drift == pytest.approx(2.25 * narrow.expected_drift)


def test_looks_come_at_fifty_windows_and_grow_by_a_fifth():
    rule = StopRule(100)
    looks = []
    while len(looks) < 5:
        looks.append(rule.next_look)
        assert not rule.due(rule.next_look - 1)
        assert rule.due(rule.next_look)
        rule.judge(rule.next_look, [band(0.5)])
    assert looks == [5000, 6000, 7200, 8640, 10368]
    # Whoever comes later looks at the same places.
    assert StopRule(100, 6001).next_look == 7200
    assert StopRule(100, 7200).next_look == 7200


def test_two_looks_in_a_row_end_the_run():
    rule = StopRule(100)
    assert not rule.judge(5000, [band()])
    assert rule.judge(6000, [band()])


def test_a_failed_look_between_starts_again():
    rule = StopRule(100)
    assert not rule.judge(5000, [band()])
    assert not rule.judge(6000, [band(0.031)])
    assert rule.doubt == "ir 0–4000 cm⁻¹: error 3.1%, wanted 3.0%"
    assert not rule.judge(7200, [band()])
    assert rule.doubt is None
    assert rule.judge(8640, [band()])


@pytest.mark.parametrize(
    ("errors", "wrong", "text"),
    [
        ([band(from_blocks=False)], [], "too few blocks"),
        ([band(math.inf)], [], "error inf%"),
        ([band(math.nan)], [], "error nan%"),
        ([band(0.02, drift=0.025)], [], "halves differ by 2.5%, at most 2.4%"),
        ([band(), band(0.04)], [], "error 4.0%"),
        ([band()], ["f-sum"], "diagnostics are wrong: f-sum"),
        ([], [], "no spectrum with a target"),
    ],
)
def test_each_condition_alone_keeps_the_run_going(errors, wrong, text):
    rule = StopRule(100)
    for n_samples in (5000, 6000, 7200):
        assert not rule.judge(n_samples, errors, wrong)
        assert text in rule.doubt


def test_a_window_without_lags_is_refused():
    with pytest.raises(SettingsError, match="n_lags must be at least 1"):
        StopRule(0)
