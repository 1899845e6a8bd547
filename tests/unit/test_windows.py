"""Lag windows: start at one, end at zero, and give the width they promise."""

from dataclasses import replace

import numpy as np
import pytest

from mimyria.errors import SettingsError
from mimyria.spectra import (
    WINDOWS,
    finest_resolution,
    lags_for_resolution,
    no_window,
    window_for_resolution,
    window_of_length,
)
from mimyria.spectra.transform import (
    cosine_transform,
    padded_intervals,
    wavenumber_grid,
)

NAMES = pytest.mark.parametrize("name", list(WINDOWS))
INTERVAL = 0.5


def line_shape(window, spacing=0.02):
    """Spectrum of a constant correlation: the window's own transform."""
    n_lags = len(window.weights)
    n_intervals = padded_intervals(n_lags, INTERVAL, spacing)
    ones = np.ones(n_lags)
    return wavenumber_grid(n_intervals, INTERVAL), cosine_transform(
        ones, INTERVAL, window, n_intervals
    )


def full_width(grid, shape):
    half = int(np.argmax(shape < 0.5 * shape[0]))
    crossing = np.interp(
        0.5 * shape[0], shape[[half, half - 1]], grid[[half, half - 1]]
    )
    return 2 * crossing


@NAMES
@pytest.mark.parametrize("resolution", [5.0, 10.0, 40.0])
def test_a_sharp_line_has_the_resolution_asked_for(name, resolution):
    n_lags = lags_for_resolution(name, resolution, INTERVAL)
    window = window_for_resolution(name, resolution, n_lags, INTERVAL)
    width = full_width(*line_shape(window))
    assert width == pytest.approx(resolution, rel=2e-4)
    assert window.resolution == pytest.approx(resolution, rel=1e-12)


def test_all_lags_without_window_have_the_width_they_say():
    window = no_window(4001, INTERVAL)
    assert full_width(*line_shape(window)) == pytest.approx(window.resolution, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("hann", 16.68),
        ("bohman", 19.83),
        ("gaussian", 25.00),
        ("parzen", 21.28),
        ("blackman-harris", 22.24),
    ],
)
def test_lags_of_two_picoseconds_have_the_tabulated_width(name, width):
    window = window_of_length(name, 2000.0, 4001, INTERVAL)
    assert window.resolution == pytest.approx(width, abs=6e-3)


@pytest.mark.parametrize(
    ("name", "power"),
    [
        ("hann", 0.75),
        ("bohman", 0.5866),
        ("gaussian", 0.4431),
        ("parzen", 0.5393),
        ("blackman-harris", 0.5159),
    ],
)
def test_windows_have_the_tabulated_power(name, power):
    weights = window_of_length(name, 2000.0, 4001, INTERVAL).weights
    two_sided = 2 * (weights**2).sum() - 1
    assert two_sided / 4000 == pytest.approx(power, abs=6e-5)


@NAMES
def test_windows_start_at_one_fall_and_end_at_zero(name):
    weights = window_of_length(name, 900.0, 2001, INTERVAL).weights
    assert weights[0] == 1.0
    assert (np.diff(weights) <= 1e-15).all()
    assert (weights[1801:] == 0.0).all()
    assert weights[1800] < 4e-4


def test_side_lobes_are_as_tabulated():
    for name, lowest, highest in (
        ("hann", -0.0268, -0.0266),
        ("bohman", -1e-9, 0.0),
        ("gaussian", -6e-4, 0.0),
        ("parzen", -1e-9, 0.0),
        ("blackman-harris", -3e-5, -1e-5),
    ):
        shape = line_shape(window_of_length(name, 2000.0, 4001, INTERVAL), 0.2)[1]
        assert lowest <= shape.min() / shape[0] <= highest, name


def test_a_gaussian_cut_at_two_and_a_half_deviations_has_the_tabulated_numbers():
    """Ours is cut at four; at 2.5 the same formula gives the row of the table."""
    weights = np.exp(-0.5 * (2.5 * np.arange(4001) / 4000) ** 2)
    window = replace(no_window(4001, INTERVAL), weights=weights)
    grid, shape = line_shape(window)
    assert full_width(grid, shape) == pytest.approx(16.02, abs=6e-3)
    assert (2 * (weights**2).sum() - 1) / 4000 == pytest.approx(0.7087, abs=6e-5)
    assert shape.min() / shape[0] == pytest.approx(-0.007, abs=5e-4)


@NAMES
def test_the_finest_resolution_is_possible_and_a_finer_one_is_refused(name):
    n_lags = 1000
    finest = finest_resolution(name, n_lags, INTERVAL)
    window_for_resolution(name, finest, n_lags, INTERVAL)
    with pytest.raises(SettingsError, match=r"Ask for a resolution of .* or more"):
        window_for_resolution(name, 0.9 * finest, n_lags, INTERVAL)


@NAMES
def test_lags_for_resolution_are_enough_and_not_many_more(name):
    n_lags = lags_for_resolution(name, 10.0, INTERVAL)
    window_for_resolution(name, 10.0, n_lags, INTERVAL)
    with pytest.raises(SettingsError, match=f"store {n_lags} lags in the next run"):
        window_for_resolution(name, 10.0, n_lags - 3, INTERVAL)


def test_an_unknown_window_is_refused():
    with pytest.raises(SettingsError, match="known windows: gaussian, bohman, hann"):
        window_for_resolution("boxcar", 10.0, 1000, INTERVAL)


@pytest.mark.parametrize("resolution", [0.0, -1.0, float("nan")])
def test_a_senseless_resolution_is_refused(resolution):
    with pytest.raises(SettingsError, match="resolution must be above 0"):
        window_for_resolution("hann", resolution, 1000, INTERVAL)


def test_a_senseless_spacing_is_refused():
    with pytest.raises(SettingsError, match="spacing must be above 0"):
        padded_intervals(100, INTERVAL, 0.0)
