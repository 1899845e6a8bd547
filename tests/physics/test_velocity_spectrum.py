"""Velocity spectrum: modes at their places, each counted once."""

import numpy as np
import pytest
from scipy.integrate import trapezoid

from mimyria.correlators import Correlator
from mimyria.errors import FrameError, ShapeError, UnitError
from mimyria.spectra import (
    find_band,
    ir_absorption,
    mass_weighted,
    velocity_correlator,
    velocity_spectrum,
    window_for_resolution,
)
from mimyria.units import (
    BOLTZMANN,
    DIPOLE_CORRELATION_UNIT,
    FSUM_CONSTANT,
    angular_frequency,
    nyquist_wavenumber,
)

MASSES = np.array([15.999, 1.008, 1.008])
INTERVAL = 1.0
TEMPERATURE = 300.0
MODES = {0: 400.0, 1: 1650.0, 2: 3400.0}  # cm⁻¹, one for each atom


def oscillating_velocities(n_steps=20_000):
    """Every atom in its own harmonic well, each direction with a phase of its own.

    The amplitude is that of equipartition, m <v²> = k_B T, in every direction exactly.
    """
    time = INTERVAL * np.arange(n_steps)
    velocities = np.zeros((n_steps, 3, 3))
    for atom, nu in MODES.items():
        amplitude = np.sqrt(2 * BOLTZMANN * TEMPERATURE / MASSES[atom])
        for axis in range(3):
            phase = angular_frequency(nu) * time + axis
            velocities[:, atom, axis] = amplitude * np.cos(phase)
    return velocities


def correlate(velocities, n_lags=2000):
    correlator = velocity_correlator(len(MASSES), n_lags, INTERVAL)
    correlator.push(mass_weighted(velocities, MASSES))
    return correlator.result()


def test_modes_lie_at_their_wavenumbers_and_count_three_each():
    window = window_for_resolution("bohman", 30.0, 2000, INTERVAL)
    spectrum = velocity_spectrum(
        correlate(oscillating_velocities()), n_atoms=3, window=window, spacing=2.0
    )
    for nu in MODES.values():
        band = find_band(spectrum, nu - 150, nu + 150)
        assert band.position == pytest.approx(nu, abs=0.5)
        part = spectrum.between(nu - 250, nu + 250)
        assert trapezoid(part.intensity, part.wavenumbers) == pytest.approx(3, rel=5e-3)
    area = trapezoid(spectrum.intensity, spectrum.wavenumbers)
    assert area == pytest.approx(9.0, rel=1e-10)
    assert spectrum.wavenumbers[-1] == pytest.approx(nyquist_wavenumber(INTERVAL))


def test_ir_of_fixed_charges_obeys_the_sum_rule():
    """∫ αn dν = FSUM Σ ‖P‖²/m / V with ‖P‖² = 3 q² for each atom."""
    charges = np.array([-0.8, 0.4, 0.4])
    dipole = np.einsum("i,tia->ta", charges, oscillating_velocities())
    correlator = Correlator(3, 2000, INTERVAL, DIPOLE_CORRELATION_UNIT)
    correlator.push(dipole)
    window = window_for_resolution("bohman", 30.0, 2000, INTERVAL)
    spectrum = ir_absorption(
        correlator.result(), volume=1000.0, temperature=TEMPERATURE, window=window
    )
    expected = FSUM_CONSTANT * (3 * charges**2 / MASSES).sum() / 1000.0
    area = trapezoid(spectrum.intensity, spectrum.wavenumbers)
    assert area == pytest.approx(expected, rel=2e-3)


def test_ir_of_fixed_charges_has_its_bands_where_the_atoms_move():
    charges = np.array([-0.8, 0.4, 0.4])
    velocities = oscillating_velocities()
    correlator = Correlator(3, 2000, INTERVAL, DIPOLE_CORRELATION_UNIT)
    correlator.push(np.einsum("i,tia->ta", charges, velocities))
    window = window_for_resolution("gaussian", 30.0, 2000, INTERVAL)
    moving = velocity_spectrum(
        correlate(velocities), n_atoms=3, window=window, spacing=2.0
    )
    ir = ir_absorption(
        correlator.result(),
        volume=1000.0,
        temperature=TEMPERATURE,
        window=window,
        spacing=2.0,
    )
    for nu in MODES.values():
        here, there = (find_band(s, nu - 150, nu + 150) for s in (moving, ir))
        assert here.position == pytest.approx(there.position, abs=1.0)


def test_atoms_at_rest_have_no_velocity_spectrum():
    window = window_for_resolution("hann", 30.0, 2000, INTERVAL)
    with pytest.raises(FrameError, match="no atom moves"):
        velocity_spectrum(correlate(np.zeros((10, 3, 3))), n_atoms=3, window=window)


def test_other_quantities_and_shapes_are_refused():
    window = window_for_resolution("hann", 300.0, 500, INTERVAL)
    dipole = Correlator(3, 500, INTERVAL, DIPOLE_CORRELATION_UNIT).result()
    with pytest.raises(
        UnitError, match="a velocity spectrum needs a correlation in amu"
    ):
        velocity_spectrum(dipole, n_atoms=1, window=window)
    with pytest.raises(
        ShapeError, match=r"velocities must have the shape \(..., 3, 3\)"
    ):
        mass_weighted(np.zeros((5, 4, 3)), MASSES)
