"""Quantum corrections, factors of a Raman experiment, Verlet's blue shift: numbers."""

import numpy as np
import pytest

from mimyria.errors import SettingsError
from mimyria.spectra import quantum
from mimyria.spectra.integrator import (
    correct_axis,
    observed_wavenumber,
    true_wavenumber,
)
from mimyria.spectra.spectrum import Spectrum
from mimyria.units import HC_OVER_KB


@pytest.mark.parametrize(
    ("nu", "standard", "schofield"),
    [
        (3400.0, 0.122653, 213.05),
        (1650.0, 0.252555, 6.60435),
        (600.0, 0.620980, 1.382535),
    ],
)
def test_quantum_corrections_have_the_stated_values(nu, standard, schofield):
    def factor(name):
        return quantum.correction_factor(name, np.array([nu]), 300.0)[0]

    assert factor("harmonic") == 1.0
    assert factor("standard") == pytest.approx(standard, abs=6e-7)
    assert factor("schofield") == pytest.approx(schofield, rel=1e-5)


@pytest.mark.parametrize("name", quantum.CORRECTIONS)
def test_every_correction_is_one_in_the_classical_limit(name):
    nu = np.array([0.0, 1e-4, 1.0])
    factor = quantum.correction_factor(name, nu, 300.0)
    assert factor[0] == 1.0
    assert factor == pytest.approx(1.0, abs=3e-6)


@pytest.mark.parametrize(
    ("nu", "factor"),
    [
        (200.0, 9.69616916e14),
        (981.0, 1.03638254e14),
        (1650.0, 5.24115259e13),
        (3400.0, 1.65296900e13),
    ],
)
def test_the_stokes_factor_at_532_nm_is_the_stated_one(nu, factor):
    def at(**options):
        return quantum.scattering_factor(
            np.array([nu]), 300.0, laser_wavelength=532.0, **options
        )[0]

    assert at() == pytest.approx(factor, rel=1e-8)
    laser = 18796.9925
    photons = at(detector="photons")
    assert photons == pytest.approx(factor * laser / (laser - nu), rel=1e-8)
    # Anti-Stokes over Stokes measures the temperature.
    ratio = at(anti_stokes=True) / at()
    expected = ((laser + nu) / (laser - nu)) ** 4 * np.exp(-HC_OVER_KB * nu / 300.0)
    assert ratio == pytest.approx(expected, rel=1e-8)


def test_anti_stokes_is_stokes_at_the_negative_shift():
    """One formula for both sides: (ν0 − ν)⁴ / [ν (1 − e^−x)] at ±ν."""
    nu = np.array([150.0, 900.0, 3000.0])
    x = -HC_OVER_KB * nu / 300.0
    negative = (1e7 / 532.0 + nu) ** 4 / (-nu * (1 - np.exp(-x)))
    found = quantum.scattering_factor(
        nu, 300.0, laser_wavelength=532.0, anti_stokes=True
    )
    assert np.allclose(found, negative, rtol=1e-12)


def test_senseless_settings_of_an_experiment_are_refused():
    nu = np.array([100.0, 3000.0])
    with pytest.raises(SettingsError, match="known are harmonic, standard, schofield"):
        quantum.correction_factor("bose", nu, 300.0)
    with pytest.raises(SettingsError, match="temperature must be above 0"):
        quantum.correction_factor("standard", nu, 0.0)
    with pytest.raises(SettingsError, match="no intensity at a shift of 0"):
        quantum.scattering_factor(np.array([0.0, 1.0]), 300.0, laser_wavelength=532.0)
    with pytest.raises(SettingsError, match="must stay below the laser at 2000"):
        quantum.scattering_factor(nu, 300.0, laser_wavelength=5000.0)
    with pytest.raises(SettingsError, match="laser wavelength must be above 0"):
        quantum.scattering_factor(nu, 300.0, laser_wavelength=0.0)
    with pytest.raises(SettingsError, match="known are power, photons"):
        quantum.scattering_factor(nu, 300.0, laser_wavelength=532.0, detector="ccd")


@pytest.mark.parametrize(
    ("nu", "time_step", "shift"),
    [
        (3400.0, 0.25, 3.6),
        (3400.0, 0.5, 14.7),
        (3400.0, 1.0, 61.0),
        (3700.0, 0.25, 4.7),
        (3700.0, 0.5, 19.0),
        (3700.0, 1.0, 79.3),
        (1650.0, 0.25, 0.4),
        (1650.0, 0.5, 1.7),
        (1650.0, 1.0, 6.7),
    ],
)
def test_the_blue_shift_of_verlet_is_the_stated_one(nu, time_step, shift):
    observed = observed_wavenumber(nu, time_step)
    assert observed - nu == pytest.approx(shift, abs=0.06)
    assert true_wavenumber(observed, time_step) == pytest.approx(nu, rel=1e-13)


def test_a_verlet_run_of_an_oscillator_shows_the_shift_that_is_corrected():
    """Zero crossings of an integrated oscillator, far beyond the linear regime."""
    time_step, true = 1.0, 3700.0
    omega = 2 * np.pi * 2.99792458e-5 * true
    x, v = 1.0, 0.0
    positions = []
    for _ in range(40_000):
        v -= 0.5 * time_step * omega**2 * x
        x += time_step * v
        v -= 0.5 * time_step * omega**2 * x
        positions.append(x)
    positions = np.array(positions)
    up = np.flatnonzero((positions[:-1] < 0) & (positions[1:] >= 0))
    exact = up - positions[up] / (positions[up + 1] - positions[up])
    period = (exact[-1] - exact[0]) / (len(exact) - 1) * time_step
    observed = 1 / (2.99792458e-5 * period)
    assert observed == pytest.approx(observed_wavenumber(true, time_step), abs=0.05)


def test_only_the_axis_of_a_spectrum_is_mapped():
    grid = np.linspace(0.0, 4000.0, 5)
    spectrum = Spectrum(grid, grid**2, "1", "ir", grid, 10.0)
    corrected = correct_axis(spectrum, 1.0)
    assert np.array_equal(corrected.intensity, spectrum.intensity)
    assert corrected.wavenumbers[0] == 0.0
    assert corrected.wavenumbers[-1] < 4000.0
    with pytest.raises(SettingsError, match="not the interval of the samples"):
        correct_axis(spectrum, 5.0)
    with pytest.raises(SettingsError, match="is unstable with a time step of 5 fs"):
        observed_wavenumber(3700.0, 5.0)
    with pytest.raises(SettingsError, match="time step must be above 0"):
        correct_axis(spectrum, 0.0)


def verlet(omega, time_step, n_steps):
    """Positions, full-step and half-step velocities of one oscillator."""
    x, v = 1.0, 0.0
    rows = []
    for _ in range(n_steps):
        half = v - 0.5 * time_step * omega**2 * x
        x += time_step * half
        v = half - 0.5 * time_step * omega**2 * x
        rows.append((x, v, half))
    return np.array(rows).T


@pytest.mark.parametrize(("time_step", "sinc"), [(0.5, 0.966), (1.0, 0.866)])
def test_amplitudes_of_positions_and_velocities_are_as_stated(time_step, sinc):
    """(A_v/(ω A_x))² = sinc²(ω dt); full step over half step cos²(ω dt/2).

    It is why J = P v needs no correction, and half-step velocities do. The true
    wavenumber is 3400 cm⁻¹, ω the observed one.
    """
    per_wavenumber = 2 * np.pi * 2.99792458e-5
    omega = per_wavenumber * float(observed_wavenumber(3400.0, time_step))
    x, full, half = verlet(per_wavenumber * 3400.0, time_step, 200_000)
    power = {
        name: np.mean(a**2) for name, a in (("x", x), ("full", full), ("half", half))
    }
    phase = omega * time_step
    found = power["full"] / (omega**2 * power["x"])
    assert found == pytest.approx((np.sin(phase) / phase) ** 2, rel=1e-4)
    assert found == pytest.approx(sinc, abs=1e-3)
    ratio = power["full"] / power["half"]
    assert ratio == pytest.approx(np.cos(0.5 * phase) ** 2, rel=1e-4)
    central = (x[2:] - x[:-2]) / (2 * time_step)
    assert np.abs(central - full[1:-1]).max() < 1e-11
