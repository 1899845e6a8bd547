"""Central differences: exact for velocity Verlet, through borders and moving cells."""

from __future__ import annotations

import numpy as np
import pytest

from mimyria_driver.velocities import CentralDifference, Sample, central_difference

DT = 0.5
CELL = np.array([[9.0, 0.0, 0.0], [2.5, 8.0, 0.0], [-3.0, 1.5, 7.0]])
ROTATION = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]


def verlet(n_steps: int, n_atoms: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Positions and velocities (n_steps, n_atoms, 3) of anharmonic oscillators."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n_atoms, 3))
    v = rng.normal(scale=0.1, size=(n_atoms, 3))

    def force(x: np.ndarray) -> np.ndarray:
        return -0.05 * x - 0.01 * x**3

    positions, velocities = [], []
    for _ in range(n_steps):
        positions.append(x)
        velocities.append(v)
        half = v + 0.5 * DT * force(x)
        x = x + DT * half
        v = half + 0.5 * DT * force(x)
    return np.array(positions), np.array(velocities)


def wrapped(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.floor(fractional)) @ cell


def test_the_velocities_of_velocity_verlet_are_reproduced_exactly() -> None:
    positions, velocities = verlet(30)
    difference = CentralDifference(DT)
    for step, x in enumerate(positions):
        difference.push(Sample(step, x, CELL))
        found = difference.velocities()
        if step < 2:
            assert found is None
            continue
        assert found is not None
        sample, v = found
        assert sample.step == step - 1
        np.testing.assert_allclose(v, velocities[step - 1], atol=1e-14)


@pytest.mark.parametrize("rotation", [np.eye(3), ROTATION])
def test_crossing_a_triclinic_border_changes_nothing(rotation: np.ndarray) -> None:
    positions, velocities = verlet(40)
    cell = 0.2 * CELL @ rotation.T
    positions = positions @ rotation.T
    inside = wrapped(positions, cell)
    assert (np.abs(np.diff(inside, axis=0)).max(axis=(1, 2)) > 0.5).any()
    for step in range(1, len(positions) - 1):
        samples = [Sample(n, inside[n], cell) for n in range(step - 1, step + 2)]
        v = central_difference(*samples, DT)
        np.testing.assert_allclose(v, velocities[step] @ rotation.T, atol=1e-12)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("rotation", [np.eye(3), ROTATION])
def test_the_strain_of_a_moving_cell_is_removed(
    rotation: np.ndarray, wrap: bool
) -> None:
    """Atoms at fixed fractional coordinates plus a known motion of their own."""
    rng = np.random.default_rng(4)
    fractional = rng.uniform(-1.5, 1.5, size=(6, 3))
    own = rng.normal(scale=1e-3, size=(6, 3)) @ rotation.T
    rate = rng.normal(scale=1e-3, size=(3, 3))

    def sample(step: int) -> Sample:
        cell = (CELL + (step - 1) * DT * rate) @ rotation.T
        positions = fractional @ cell + (step - 1) * DT * own
        return Sample(step, wrapped(positions, cell) if wrap else positions, cell)

    v = central_difference(sample(0), sample(1), sample(2), DT)
    np.testing.assert_allclose(v, own, atol=1e-14)
    naive = (sample(2).positions - sample(0).positions) / (2 * DT)
    assert np.abs(naive - own).max() > 5e-4


def test_a_uniform_dilation_leaves_no_velocity_whatever_the_origin() -> None:
    rng = np.random.default_rng(8)
    positions = rng.uniform(-50, 50, size=(10, 3))

    def sample(step: int) -> Sample:
        scale = 1 + 1e-4 * (step - 1)
        return Sample(step, positions * scale, CELL * scale)

    v = central_difference(sample(0), sample(1), sample(2), DT)
    np.testing.assert_allclose(v, 0.0, atol=1e-13)


def test_nothing_is_differenced_over_a_break() -> None:
    positions, _ = verlet(6)
    difference = CentralDifference(DT)
    for step in range(3):
        difference.push(Sample(step, positions[step], CELL))
    assert difference.velocities() is not None
    difference.clear()
    assert difference.last is None
    for step in (3, 4):
        difference.push(Sample(step, positions[step], CELL))
        assert difference.velocities() is None
