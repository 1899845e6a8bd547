"""IR absorption against closed forms: damped cosines, an undamped one, an integral."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

from mimyria.correlators import Correlation
from mimyria.errors import SettingsError, UnitError
from mimyria.spectra import ir_absorption, no_window, window_of_length
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    IR_CONSTANT,
    SPEED_OF_LIGHT,
    angular_frequency,
    nyquist_wavenumber,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
MODES = ((600.0, 150.0, 4e-4), (1650.0, 250.0, 2e-4), (3400.0, 120.0, 1e-3))
CELL = {"volume": 1000.0, "temperature": 300.0}
# spectroscopy.md §1.4, to the digits printed there: continuous transform.
ABSORPTION = {
    0.0: 18.416672,
    600.0: 2339.519119,
    1650.0: 1952.302300,
    3000.0: 57.908625,
    3400.0: 4670.643402,
    3500.0: 765.337575,
}
INTEGRAL = 1038400.409312
PRINTED = 5.1e-7


def three_modes(n_lags, interval):
    """C(t) = Σ A exp(−t/τ) cos(2π c ν t), all of it in the xx column."""
    lags = interval * np.arange(n_lags)
    values = np.zeros((n_lags, 3))
    for nu, tau, amplitude in MODES:
        values[:, 0] += (
            amplitude * np.exp(-lags / tau) * np.cos(angular_frequency(nu) * lags)
        )
    return dipole_correlation(lags, values)


def dipole_correlation(lags, values):
    return Correlation(
        lags,
        values,
        np.full(len(lags), 10**6),
        ((0, 0), (1, 1), (2, 2)),
        DIPOLE_CORRELATION_UNIT,
        10**6,
    )


def absorption(correlation, window=None):
    window = window or no_window(correlation.n_lags, correlation.interval)
    return ir_absorption(correlation, **CELL, window=window)


def continuous_absorption(wavenumbers):
    """α n without discretisation error, at wavenumbers that are multiples of 2 cm⁻¹.

    The grid is chosen to hold them: 2 n D c = 1/2 cm. A sum over lags is the
    trapezoidal rule, whose error is a series in D², D⁴, …: Richardson's extrapolation
    removes it.
    """
    length = 1.0 / (2 * SPEED_OF_LIGHT * 2.0)  # 8339 fs: exp(−8339/250) = 3e-15
    columns = []
    for power in range(15, 20):
        n_intervals = 2**power
        spectrum = absorption(three_modes(n_intervals + 1, length / n_intervals))
        indices = np.rint(np.asarray(wavenumbers) / 2.0).astype(int)
        assert np.allclose(spectrum.wavenumbers[indices], wavenumbers, rtol=1e-13)
        columns.append(spectrum.intensity[indices])
    order = 1
    while len(columns) > 1:
        factor = 4.0**order
        columns = [
            (factor * fine - coarse) / (factor - 1)
            for coarse, fine in itertools.pairwise(columns)
        ]
        order += 1
    return columns[0]


def test_three_damped_cosines_give_the_stated_absorption_to_all_digits():
    found = continuous_absorption(list(ABSORPTION))
    for value, (nu, expected) in zip(found, ABSORPTION.items(), strict=True):
        assert abs(value - expected) <= PRINTED, nu


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no test values at {DATA}")
def test_three_damped_cosines_give_the_stored_values_to_rounding():
    stored = json.loads((DATA / "test_values.json").read_text())["analytic_ir"]
    expected = {float(nu): value for nu, value in stored["alpha_n_cm1"].items()}
    found = continuous_absorption(list(expected))
    assert found == pytest.approx(list(expected.values()), rel=1e-12)
    assert stored["modes_nu_tau_A"] == [list(mode) for mode in MODES]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no test values at {DATA}")
def test_the_constant_is_the_stored_one():
    stored = json.loads((DATA / "test_values.json").read_text())["constants"]
    key = "K_IR_cm1_A3_K_per_e2A2_fs"
    assert pytest.approx(stored[key], rel=1e-9) == IR_CONSTANT


def test_a_discrete_transform_gives_the_stated_value_on_its_grid():
    spectrum = absorption(three_modes(8193, 0.5))
    index = int(np.argmin(np.abs(spectrum.wavenumbers - 3400)))
    assert spectrum.wavenumbers[index] == pytest.approx(3399.975824, abs=PRINTED)
    assert spectrum.intensity[index] == pytest.approx(4670.661330, abs=PRINTED)


@pytest.mark.parametrize(
    ("length", "expected"), [(2000, 4380.058335), (4000, 4590.551588)]
)
def test_a_hann_window_gives_the_stated_value(length, expected):
    correlation = three_modes(8193, 0.5)
    window = window_of_length("hann", 0.5 * length, 8193, 0.5)
    spectrum = absorption(correlation, window)
    index = int(np.argmin(np.abs(spectrum.wavenumbers - 3400)))
    assert spectrum.intensity[index] == pytest.approx(expected, abs=PRINTED)


@pytest.mark.parametrize("spacing", [None, 1.0, 0.3])
@pytest.mark.parametrize("name", ["none", "hann", "gaussian", "bohman"])
def test_no_window_and_no_padding_changes_the_integral(name, spacing):
    correlation = three_modes(8193, 0.5)
    window = no_window(8193, 0.5)
    if name != "none":
        window = window_of_length(name, 1500.0, 8193, 0.5)
    spectrum = ir_absorption(correlation, **CELL, window=window, spacing=spacing)
    integral = trapezoid(spectrum.intensity, spectrum.wavenumbers)
    assert integral == pytest.approx(INTEGRAL, abs=PRINTED)
    assert spectrum.wavenumbers[-1] == pytest.approx(nyquist_wavenumber(0.5), rel=1e-14)
    if spacing is not None:
        assert spectrum.spacing <= spacing


def test_padding_interpolates_and_keeps_the_grid_points():
    correlation = three_modes(8193, 0.5)
    window = window_of_length("hann", 2000.0, 8193, 0.5)
    coarse = absorption(correlation, window)
    fine = ir_absorption(
        correlation, **CELL, window=window, spacing=coarse.spacing / 2 * (1 + 1e-12)
    )
    assert np.allclose(fine.wavenumbers[::2], coarse.wavenumbers, rtol=1e-13)
    assert np.abs(fine.intensity[::2] - coarse.intensity).max() < 1e-8


def test_an_undamped_oscillation_has_the_stated_peak():
    n_intervals, interval, amplitude = 8000, 0.5, 0.02
    lags = interval * np.arange(n_intervals + 1)
    index = 836  # on the window's own grid, where the line at −ν has a node
    omega = np.pi * index / (n_intervals * interval)
    values = np.zeros((n_intervals + 1, 3))
    values[:, 0] = 0.5 * amplitude**2 * np.cos(omega * lags)
    window = window_of_length("hann", 2000.0, len(lags), interval)
    spectrum = absorption(dipole_correlation(lags, values), window)
    assert int(np.argmax(spectrum.intensity)) == index
    assert spectrum.intensity[index] == pytest.approx(7782.615277, abs=PRINTED)


def test_a_harmonic_charge_has_the_area_of_linear_response():
    """∫ αn dν = K_IR <J²>/(2 c V T), and <J²> = q² k_B T/m for each direction."""
    correlation = three_modes(4097, 0.5)
    spectrum = absorption(correlation)
    expected = IR_CONSTANT * correlation.values[0].sum() / (300e3 * 2 * SPEED_OF_LIGHT)
    area = trapezoid(spectrum.intensity, spectrum.wavenumbers)
    assert area == pytest.approx(expected, rel=1e-12)


def test_the_correlation_of_another_quantity_is_refused():
    correlation = three_modes(16, 0.5)
    wrong = Correlation(
        correlation.lags,
        correlation.values,
        correlation.counts,
        correlation.pairs,
        "e^4 a0^4 Eh^-2 fs^-2",
        10,
    )
    with pytest.raises(UnitError, match="the IR needs a correlation in e"):
        absorption(wrong)


@pytest.mark.parametrize("name", ["volume", "temperature"])
def test_a_cell_without_volume_or_temperature_is_refused(name):
    correlation = three_modes(16, 0.5)
    with pytest.raises(SettingsError, match=f"{name} must be above 0"):
        ir_absorption(correlation, **(CELL | {name: 0.0}), window=no_window(16, 0.5))
