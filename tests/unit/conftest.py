"""What more than one unit test needs."""

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.spectra import compute_spectra
from mimyria.storage import Result
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
    angular_frequency,
)


@pytest.fixture(scope="session")
def two_bands():
    """Makes results with broad bands at 1650 and 3400 cm⁻¹ over a little noise."""

    def samples(n_channels, seed, n_steps, interval, noise, amplitudes):
        rng = np.random.default_rng(seed)
        time = interval * np.arange(n_steps)
        series = noise * rng.normal(size=(n_steps, n_channels))
        for nu, amplitude in zip((1650.0, 3400.0), amplitudes, strict=True):
            for offset in np.linspace(-40, 40, 17):
                phases = rng.uniform(0, 2 * np.pi, n_channels)
                omega = angular_frequency(nu + offset)
                series += amplitude * np.cos(omega * time[:, np.newaxis] + phases)
        return series

    def result(n_lags, interval, n_steps, noise, amplitudes, cell, resolution):
        correlations = []
        units = (DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT)
        for seed, (n_channels, unit) in enumerate(zip((3, 6), units, strict=True), 1):
            correlator = Correlator(n_channels, n_lags, interval, unit)
            correlator.push(
                samples(n_channels, seed, n_steps, interval, noise, amplitudes)
            )
            correlations.append(correlator.result())
        spectra = compute_spectra(
            *correlations, **cell, resolution=resolution, window="bohman"
        )
        notes = {"window": "bohman"}
        return Result(*correlations, spectra, *cell.values(), interval, notes)

    return result
