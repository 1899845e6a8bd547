"""What more than one unit test needs."""

import numpy as np
import pytest

from mimyria.units import angular_frequency


@pytest.fixture(scope="session")
def two_bands():
    """Makes samples with broad bands at 1650 and 3400 cm⁻¹ over a little noise."""

    def samples(n_channels, seed, *, n_steps, interval, noise, amplitudes):
        rng = np.random.default_rng(seed)
        time = interval * np.arange(n_steps)
        series = noise * rng.normal(size=(n_steps, n_channels))
        for nu, amplitude in zip((1650.0, 3400.0), amplitudes, strict=True):
            for offset in np.linspace(-40, 40, 17):
                phases = rng.uniform(0, 2 * np.pi, n_channels)
                omega = angular_frequency(nu + offset)
                series += amplitude * np.cos(omega * time[:, np.newaxis] + phases)
        return series

    return samples
