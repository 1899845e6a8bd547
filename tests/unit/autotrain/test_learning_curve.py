"""Learning curves: what they say of more configurations, and when they are silent."""

import numpy as np
import pytest

from mimyria.autotrain.learningcurve import fit_learning_curve

COUNTS = np.array([4, 8, 12, 16, 20, 24])


def test_a_power_law_is_found_and_inverted():
    curve = fit_learning_curve(COUNTS, np.sqrt(0.04 / COUNTS))
    assert curve.power == pytest.approx(1)
    assert curve.amplitude == pytest.approx(0.04)
    more = curve.needed(np.sqrt(0.04 / 48))
    assert (more.more, more.fewest, more.most) == (24, 24, 24)
    assert more.text.startswith("about 24 more configurations for 2.9%")


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(400):
        noisy = np.sqrt(0.04 / COUNTS) * np.exp(0.05 * rng.normal(size=len(COUNTS)))
        found = fit_learning_curve(COUNTS, noisy).needed(np.sqrt(0.04 / 40))
        if found.more:
            low, high = found.fewest, found.most or np.inf
            inside.append(low <= 16 <= high)
    assert len(inside) > 350
    assert 0.85 <= np.mean(inside) <= 0.97


def test_too_few_cycles_say_nothing():
    more = fit_learning_curve([4, 8, 12], [0.1, 0.08, 0.07]).needed(0.03)
    assert more.more is None
    assert "cannot be said yet: that needs 4 cycles" in more.text


def test_a_curve_that_does_not_fall_says_nothing():
    more = fit_learning_curve(COUNTS, [0.1, 0.11, 0.1, 0.09, 0.1, 0.1]).needed(0.03)
    assert more.more is None
    assert "does not fall for certain" in more.text


def test_nothing_is_said_beyond_four_times_the_last_count():
    more = fit_learning_curve(COUNTS, np.sqrt(0.04 / COUNTS)).needed(0.01)
    assert more.more is None
    assert "more than 72, farther than the curve can be trusted" in more.text


def test_an_error_that_levels_off_is_noticed():
    counts = np.arange(4, 44, 4)
    epsilons = np.sqrt(1.0 / counts**2 + 0.0025)
    epsilons *= np.exp(0.003 * np.random.default_rng(2).normal(size=len(counts)))
    curve = fit_learning_curve(counts, epsilons)
    assert curve.level_reached
    assert "no longer falls as it did" in curve.needed(0.03).text
    assert not fit_learning_curve(counts, np.sqrt(0.04 / counts)).level_reached


def test_what_is_reached_takes_no_more():
    found = fit_learning_curve(COUNTS, np.sqrt(0.04 / COUNTS)).needed(0.05)
    assert (found.more, found.text) == (0, "5.0% is reached.")


def test_cycles_without_an_error_are_left_out():
    epsilons = np.sqrt(0.04 / COUNTS)
    epsilons[2] = np.nan
    curve = fit_learning_curve(COUNTS, epsilons)
    assert curve.power == pytest.approx(1)
    assert len(curve.counts) == 5
