"""Permittivity and what follows from it: closed forms, stored values, identities."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import constants as codata
from scipy.integrate import trapezoid

from mimyria.correlators import Correlation, Correlator
from mimyria.errors import SettingsError, UnitError
from mimyria.spectra import dielectric, no_window, window_of_length
from mimyria.spectra.dielectric import Cell
from mimyria.spectra.grid import grid_for
from mimyria.units import (
    DIELECTRIC_CONSTANT,
    DIPOLE_CORRELATION_UNIT,
    NAPERIAN_MOLAR_CONSTANT,
    SPEED_OF_LIGHT,
    angular_frequency,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
MODES = ((600.0, 150.0, 4e-4), (1650.0, 250.0, 2e-4), (3400.0, 120.0, 1e-3))
CELL = Cell(1000.0, 300.0, eps_inf=1.78, n_molecules=33)
# spectroscopy.md §1.4: ν, ε', ε'', α.
STATED = (
    (600.0, 1.773181, 0.620577, 1731.3581),
    (1650.0, 1.775102, 0.188314, 1463.2785),
    (3400.0, 1.774742, 0.218634, 3499.3703),
)
WAVENUMBERS = np.array([row[0] for row in STATED])


def three_modes(n_lags, interval):
    lags = interval * np.arange(n_lags)
    values = np.zeros((n_lags, 3))
    for nu, tau, amplitude in MODES:
        values[:, 0] += (
            amplitude * np.exp(-lags / tau) * np.cos(angular_frequency(nu) * lags)
        )
    return dipole_correlation(lags, values)


def dipole_correlation(lags, values, pairs=((0, 0), (1, 1), (2, 2))):
    counts = np.full(len(lags), 10**6)
    return Correlation(lags, values, counts, pairs, DIPOLE_CORRELATION_UNIT, 10**6)


def whole_grid(correlation):
    window = no_window(correlation.n_lags, correlation.interval)
    return grid_for(correlation, window, low=1e-6)


def continuous(function):
    """`function` at WAVENUMBERS without discretisation error, by extrapolation."""
    length = 1.0 / (2 * SPEED_OF_LIGHT * 2.0)
    columns = []
    for power in range(13, 19):
        correlation = three_modes(2**power + 1, length / 2**power)
        grid = whole_grid(correlation)
        indices = np.rint(WAVENUMBERS / 2.0).astype(int) - 1  # ν = 0 is not there
        assert np.allclose(grid.wavenumbers[indices], WAVENUMBERS, rtol=1e-12)
        columns.append(function(correlation, grid, CELL)[indices])
    order = 1
    while len(columns) > 1:
        columns = [
            (4.0**order * fine - coarse) / (4.0**order - 1)
            for coarse, fine in itertools.pairwise(columns)
        ]
        order += 1
    return columns[0]


def test_the_permittivity_of_three_damped_cosines_is_the_stated_one():
    found = continuous(dielectric.permittivity)
    for value, (nu, real, imaginary, _) in zip(found, STATED, strict=True):
        assert value.real == pytest.approx(real, abs=5.1e-7), nu
        assert value.imag == pytest.approx(imaginary, abs=5.1e-7), nu


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no test values at {DATA}")
def test_the_permittivity_is_the_stored_one_to_rounding():
    stored = json.loads((DATA / "test_values.json").read_text())
    expected = [
        complex(*stored["analytic_ir"]["eps"][f"{nu:.0f}"]) for nu in WAVENUMBERS
    ]
    assert continuous(dielectric.permittivity) == pytest.approx(expected, rel=1e-10)
    constants = stored["constants"]
    K = constants["K_eps_A3_K_per_e2A2"]
    assert pytest.approx(K, rel=1e-9) == DIELECTRIC_CONSTANT
    molar = constants["K_mol_Kcmkm_per_mol_per_e2A2_fs"]
    assert pytest.approx(molar, rel=1e-9) == NAPERIAN_MOLAR_CONSTANT


def test_index_and_absorption_are_the_stated_ones():
    index = continuous(dielectric.refractive_index)
    assert index[0].real == pytest.approx(1.351262, abs=5.1e-7)
    assert continuous(dielectric.absorption) == pytest.approx(
        [row[3] for row in STATED], abs=5.1e-5
    )


def test_the_slope_term_makes_the_sine_transform_one_order_better():
    """At 2 fs, ε' is right to 1e-4 with the term and off by 1e-3 without."""
    n_intervals = 4096
    length = 1.0 / (2 * SPEED_OF_LIGHT * 2.0)
    correlation = three_modes(n_intervals + 1, length / n_intervals)
    grid = whole_grid(correlation)
    found = dielectric.permittivity(correlation, grid, CELL).real[
        np.rint(WAVENUMBERS / 2.0).astype(int) - 1
    ]
    term = (
        DIELECTRIC_CONSTANT / 3e5 * correlation.interval**2 / 12
        * correlation.values[0, 0]
    )  # fmt: skip
    stated = np.array([row[1] for row in STATED])
    assert np.abs(found - stated).max() < 3e-4
    assert np.abs(found + term - stated).max() > 1e-3


def test_real_and_imaginary_part_obey_kramers_and_kronig():
    """ε'(ν) − ε_∞ = (2/π) P ∫ ν' ε''(ν') / (ν'² − ν²) dν', on the midpoints."""
    correlation = three_modes(4097, 0.5)
    window = window_of_length("gaussian", 2000.0, 4097, 0.5)
    grid = grid_for(correlation, window, low=1e-6, spacing=1.0)
    eps = dielectric.permittivity(correlation, grid, CELL)
    nu = grid.wavenumbers
    for at in (300.0, 1000.0, 2500.0, 3300.0):
        k = int(np.argmin(np.abs(nu - at)))
        other = slice((k + 1) % 2, None, 2)  # every second point, never k itself
        kernel = nu[other] * eps.imag[other] / (nu[other] ** 2 - nu[k] ** 2)
        principal = 2 / np.pi * kernel.sum() * 2 * (nu[1] - nu[0])
        assert eps.real[k] - 1.78 == pytest.approx(principal, abs=2e-3), at


def windowed():
    correlation = three_modes(4097, 0.5)
    window = window_of_length("gaussian", 2000.0, 4097, 0.5)
    return correlation, grid_for(correlation, window, low=1.0, high=4000.0)


def test_all_quantities_are_one_and_the_same_permittivity():
    correlation, grid = windowed()
    arguments = correlation, grid, CELL
    eps = dielectric.permittivity(*arguments)
    nu = grid.wavenumbers
    alpha_n = dielectric.absorption_times_index(*arguments)
    root = dielectric.refractive_index(*arguments)
    alpha = dielectric.absorption(*arguments)
    assert np.allclose(eps.imag, alpha_n / (2 * np.pi * nu), rtol=1e-13)
    assert np.array_equal(eps.imag, dielectric.imaginary_permittivity(*arguments))
    assert np.allclose(alpha * root.real, alpha_n, rtol=1e-12)
    assert (root.real > 0).all()
    sigma = dielectric.conductivity(*arguments)
    omega = 2 * np.pi * nu * 1e2 * codata.c
    assert np.allclose(sigma, codata.epsilon_0 * omega * eps.imag, rtol=1e-12)


def test_molar_factors_are_the_stated_ones():
    correlation, grid = windowed()
    arguments = correlation, grid, CELL
    alpha = dielectric.absorption(*arguments)
    molar = dielectric.molar_absorption(*arguments)
    assert np.allclose(molar, 0.00792540 * alpha, rtol=2e-7)
    spectrum = grid.cosine(correlation.values.sum(axis=1))
    naperian = dielectric.naperian_molar(*arguments)
    assert np.allclose(naperian, 70302.007 / (300 * 33) * spectrum, rtol=2e-9)
    alpha_n = dielectric.absorption_times_index(*arguments)
    assert np.allclose(
        naperian, alpha_n * 0.00792540 * math.log(10) * 1e-2, rtol=2e-7
    )  # L/(mol cm) are 0.01 km/mol cm


def test_a_harmonic_mode_has_the_textbook_intensity_in_km_per_mol():
    """N_A/(12 ε0 c²) |dμ/dQ|² = 974.880 km/mol per e²/amu; here 1 e²/amu in 3 axes.

    M = q Σ_a x_a with k_B T of kinetic energy: <J·J> = 3 (q²/m) k_B T; each Cartesian
    direction is one mode with |dμ/dQ|² = q²/m.
    """
    boltzmann = codata.k / codata.atomic_mass * 1e-10
    lags = 0.5 * np.arange(4001)
    cosine = np.cos(angular_frequency(1500.0) * lags)
    values = np.repeat(300.0 * boltzmann * cosine[:, np.newaxis], 3, axis=1)
    correlation = dipole_correlation(lags, values)
    window = window_of_length("bohman", 2000.0, 4001, 0.5)
    grid = grid_for(correlation, window)
    cell = Cell(1000.0, 300.0, n_molecules=3)  # three modes, each a molecule's
    intensity = dielectric.naperian_molar(correlation, grid, cell)
    integral = trapezoid(intensity, grid.wavenumbers)
    assert integral == pytest.approx(974.880, abs=5e-4)
    si = codata.N_A / (12 * codata.epsilon_0 * codata.c**2) * codata.e**2
    assert integral == pytest.approx(si / codata.atomic_mass / 1e3, rel=1e-9)


def test_directions_average_to_the_isotropic_value_and_turn_as_a_tensor():
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    series = rng.normal(size=(600, 3)) * [1.0, 2.0, 0.5]

    def tensor(samples):
        correlator = Correlator(3, 50, 0.5, DIPOLE_CORRELATION_UNIT)
        correlator.push(samples)
        correlation = correlator.result()
        grid = grid_for(correlation, window_of_length("bohman", 25.0, 50, 0.5), low=1.0)
        parts = [
            [
                dielectric.directional_imaginary(correlation, grid, CELL, a + b)
                for b in "xyz"
            ]
            for a in "xyz"
        ]
        mean = dielectric.imaginary_permittivity(correlation, grid, CELL)
        return np.array(parts), mean

    here, mean = tensor(series)
    assert np.allclose(np.trace(here) / 3, mean, rtol=1e-12)
    there, same = tensor(series @ rotation.T)
    assert np.allclose(mean, same, rtol=1e-10, atol=1e-12 * mean.max())
    turned = np.einsum("ax,by,xyk->abk", rotation, rotation, here)
    assert np.allclose(there, turned, rtol=0, atol=1e-11 * np.abs(here).max())


def test_eps_inf_follows_from_the_mean_polarizability():
    """Water: 9.9 a0³ per molecule at 30 Å³ gives close to 1.6 without local field."""
    alpha = np.diag([9.0, 10.0, 11.0])
    bohr = codata.physical_constants["Bohr radius"][0] * 1e10
    expected = 1 + 4 * np.pi * 10.0 * bohr**3 / 30.0
    found = dielectric.eps_inf_from_polarizability(alpha, 30.0)
    assert found == pytest.approx(expected, rel=1e-12)
    assert dielectric.eps_inf_from_polarizability(0 * alpha, 30.0) == 1.0


def test_what_is_missing_is_named():
    correlation, grid = windowed()
    bare = Cell(1000.0, 300.0)
    with pytest.raises(
        SettingsError, match="needs the electronic permittivity eps_inf"
    ):
        dielectric.permittivity(correlation, grid, bare)
    with pytest.raises(SettingsError, match="needs the number of molecules"):
        dielectric.naperian_molar(correlation, grid, bare)
    whole = grid_for(correlation, grid.window)
    with pytest.raises(SettingsError, match="diverges at 0 cm"):
        dielectric.permittivity(correlation, whole, CELL)
    with pytest.raises(SettingsError, match="axes must be two of x, y, z"):
        dielectric.directional_imaginary(correlation, grid, CELL, "xa")
    with pytest.raises(SettingsError, match="eps_inf must be at least 1"):
        Cell(1000.0, 300.0, eps_inf=0.5)
    with pytest.raises(SettingsError, match="volume must be above 0"):
        Cell(0.0, 300.0)
    alpha = Correlator(6, 50, 0.5, "e^4 a0^4 Eh^-2 fs^-2").result()
    with pytest.raises(UnitError, match="Is it the polarizability's"):
        dielectric.absorption(alpha, grid, CELL)
