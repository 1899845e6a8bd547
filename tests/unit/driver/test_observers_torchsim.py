"""States of TorchSim as replicas; the real program runs the example of the manual."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mimyria.errors import SettingsError
from mimyria.units import FS_PER_ASE_TIME
from mimyria_driver.observers.torchsim import Observer
from tests.playeddriver import PlayedDriver

COLUMNS = np.array([[9.0, 2.0, -1.0], [0.0, 9.5, 0.5], [0.0, 0.0, 10.0]])
MASSES = np.array([39.948, 20.1797])


def state_at(step, systems, dtype=torch.float64, pbc=True):
    """Two atoms in each system, which go nearly straight on; 0.5 fs a step."""
    velocities, positions = [], []
    for number in systems:
        rng = np.random.default_rng(number)
        v = rng.normal(0.0, 1e-3, (2, 3)) * (1.0 + 1e-5 * step)  # Å/fs
        velocities.append(v)
        positions.append(rng.uniform(0.0, 9.0, (2, 3)) + 0.5 * step * v)
    masses = torch.tensor(np.tile(MASSES, len(systems)), dtype=dtype)
    velocity = torch.tensor(np.concatenate(velocities) * FS_PER_ASE_TIME, dtype=dtype)
    cell = torch.tensor(np.tile(COLUMNS, (len(systems), 1, 1)), dtype=dtype)
    return SimpleNamespace(
        n_systems=len(systems),
        system_idx=torch.arange(len(systems)).repeat_interleave(2),
        atomic_numbers=torch.tensor([18, 10] * len(systems)),
        masses=masses,
        positions=torch.tensor(np.concatenate(positions), dtype=dtype),
        momenta=velocity * masses[:, None],
        cell=cell,
        row_vector_cell=cell.mT,
        pbc=pbc,
    )


class Reporter:
    """What is used of a TrajectoryReporter."""

    def __init__(self, n_files):
        self.filenames = [f"{number}.h5" for number in range(n_files)]
        self.reported = []

    def report(self, state, step, model=None, *, force=False):
        self.reported.append((step, model, force))
        return [{} for _ in range(state.n_systems)]


@pytest.fixture
def drivers(tmp_path):
    """Three of them, each where {replica} leads."""
    opened = []
    for number in range(3):
        driver = PlayedDriver()
        opened.append(driver)
        (tmp_path / f"{number:03d}").symlink_to(driver.endpoint[len("ipc://") : -2])
    yield opened
    for driver in opened:
        driver.__exit__()


@pytest.mark.parametrize(
    ("dtype", "pbc"),
    [(torch.float64, True), (torch.float32, torch.tensor([True, True, False]))],
)
def test_systems_of_a_batch_are_replicas(drivers, tmp_path, dtype, pbc):
    reporter = Reporter(3)
    address = f"ipc://{tmp_path}/{{replica}}/s"
    with Observer(address, time_step=0.5, stride=4) as observer:
        observer.watch(reporter)
        # As `integrate` reports: the first and the last state by force, perhaps twice.
        for step, force in [(0, True), *((n, False) for n in range(1, 19)), (18, True)]:
            state = state_at(step, range(3), dtype, pbc)
            assert reporter.report(state, step, model="m", force=force) == [{}] * 3
    assert reporter.reported[0] == (0, "m", True)
    assert len(reporter.reported) == 20
    for number, driver in enumerate(drivers):
        driver.join()
        assert driver.sent == [0, 4, 8, 12, 16]
        frame, state = driver.frames[8], state_at(8, [number], dtype, pbc)
        np.testing.assert_array_equal(frame.positions, state.positions.double())
        np.testing.assert_array_equal(frame.cell, COLUMNS.T)
        expected = (state.momenta.double() / state.masses.double()[:, None]).numpy()
        np.testing.assert_array_equal(frame.velocities, expected / FS_PER_ASE_TIME)
        assert frame.pbc == (True, True, pbc is True)


def test_files_say_which_systems_a_batch_holds(drivers, tmp_path):
    """An autobatcher runs some of them, then the others."""
    reporter = Reporter(3)
    address = f"ipc://{tmp_path}/{{replica}}/s"
    with Observer(address, time_step=0.5, stride=4) as observer:
        observer.watch(reporter, begin=100)
        for batch in ([2, 0], [1]):
            reporter.filenames = [f"{number}.h5" for number in batch]
            for step in range(1, 13):
                reporter.report(state_at(step, batch), step)
    for number, driver in enumerate(drivers):
        driver.join()
        assert driver.steps == [104, 108, 112]
        expected = state_at(12, [number]).positions
        np.testing.assert_array_equal(driver.frames[112].positions, expected)


def test_one_system_needs_no_number_and_several_do(tmp_path):
    with PlayedDriver() as driver:
        with Observer(driver.endpoint, time_step=0.5, stride=4) as observer:
            observer(state_at(0, [0]), 0)
        assert driver.join().sent == [0]
        with pytest.raises(SettingsError, match="needs an address with"):
            observer(state_at(0, range(2)), 0)
