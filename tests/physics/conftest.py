"""What more than one test of the physics needs."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def orientations():
    """Rotations and weights that integrate polynomials of degree 4 in R exactly.

    Trapezoidal rule in the two azimuths, Gauss–Legendre in cos β: Euler z, y, z.
    """
    angles = 2 * np.pi * np.arange(6) / 6
    cosines, weights = np.polynomial.legendre.leggauss(4)

    def about_z(angle):
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])

    found = []
    for cosine, weight in zip(cosines, weights, strict=True):
        sine = np.sqrt(1 - cosine**2)
        tilt = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
        for first in angles:
            for second in angles:
                rotation = about_z(first) @ tilt @ about_z(second)
                found.append((rotation, weight / (2 * 36)))
    return found
