"""What more than one test of the physics needs."""

from itertools import permutations
from types import SimpleNamespace

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


@pytest.fixture(scope="session")
def response():
    """Makes random forces in fields that obey the sum rules, with known derivatives.

    `third` and `fourth` are the root mean squares of ∂³F/∂E_a³ and ∂⁴F/∂E_a⁴.
    """

    def symmetric(array, rank):
        orders = list(permutations(range(rank)))
        turned = (array.transpose(0, *(1 + np.array(o)), rank + 1) for o in orders)
        return sum(turned) / len(orders)

    def power(E, rank):
        product = E
        for _ in range(rank - 1):
            product = product[..., np.newaxis] * E.reshape(
                len(E), *(1,) * (product.ndim - 1), 3
            )
        return product

    def make(seed, n_atoms=4, *, third=0.0, fourth=0.0, charge=0.0):
        rng = np.random.default_rng(seed)
        d = np.arange(3)
        zero = 0.03 * rng.normal(size=(n_atoms, 3))
        apt = 0.4 * rng.normal(size=(n_atoms, 3, 3))
        pgt = symmetric(4.0 * rng.normal(size=(n_atoms, 3, 3, 3)), 2)
        zero -= zero.mean(axis=0)
        apt -= apt.mean(axis=0) - charge * np.eye(3) / n_atoms
        pgt -= pgt.mean(axis=0)
        cubic = symmetric(rng.normal(size=(n_atoms, 3, 3, 3, 3)), 3)
        cubic *= third / np.sqrt(np.mean(cubic[:, d, d, d] ** 2))
        quartic = symmetric(rng.normal(size=(n_atoms, 3, 3, 3, 3, 3)), 4)
        quartic *= fourth / np.sqrt(np.mean(quartic[:, d, d, d, d] ** 2))

        def forces(fields):
            E = np.asarray(fields)
            return (
                zero
                + np.tensordot(E, apt, (1, 1))
                + np.tensordot(power(E, 2), pgt, ((1, 2), (1, 2))) / 2
                + np.tensordot(power(E, 3), cubic, ((1, 2, 3), (1, 2, 3))) / 6
                + np.tensordot(power(E, 4), quartic, ((1, 2, 3, 4), (1, 2, 3, 4))) / 24
            )

        return SimpleNamespace(forces=forces, zero=zero, apt=apt, pgt=pgt)

    return make
