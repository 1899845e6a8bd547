"""Stand-ins for both ends of the hook's sockets, for tests."""

from __future__ import annotations

import time

import numpy as np
import pytest
import zmq

from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.runcard import RunCard
from mimyria_driver.sources import Arrived, Ended, Started

TIMEOUT = 30.0
STRIDE = 4


class FakeEngine:
    """Two argon atoms for each rank; a step takes as long as a test says."""

    n_beads = 0

    def __init__(
        self, rank: int = 0, n_ranks: int = 1, units: str = "real", n_atoms: int = 2
    ) -> None:
        self.rank, self.n_ranks = rank, n_ranks
        self.step = 0
        self.time_step = 2.0
        self.n_local, self.n_atoms = n_atoms, n_atoms * n_ranks
        self.units = units

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        if self.units == "lj":
            raise HookError("physical units")
        return RunCard("fake", "real", elements, 2.0, stride, 1.0, 1.0, (1, 1, 1))

    def real(self, name: str) -> float:
        assert name == "femtosecond"
        return 1.0

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        return [9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self) -> bytes:
        return (
            np.arange(self.n_local, dtype="<i4") + self.n_local * self.rank + 1
        ).tobytes()

    def positions(self) -> bytes:
        return np.full(3 * self.n_local, float(self.step)).tobytes()

    def velocities(self) -> bytes:
        return np.full(3 * self.n_local, 0.5 * self.step).tobytes()

    def types(self) -> bytes:
        return np.ones(self.n_local, "<i4").tobytes()

    def masses(self) -> bytes:
        return np.full(self.n_local, 39.95).tobytes()


def take(
    receiver: LammpsReceiver, durable: int, n_frames: int = 10**9
) -> tuple[list[int], bool]:
    """Steps of the frames until the run ends or so many are there."""
    steps: list[int] = []
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        poller.poll(50)
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(durable)
            elif isinstance(event, Ended):
                return steps, True
            elif isinstance(event, Arrived):
                receiver.acknowledge(event.frame.step)
                if event.frame.step <= durable:
                    continue  # the journal knows it
                steps.append(event.frame.step)
                if len(steps) == n_frames:
                    return steps, False
    pytest.fail(f"nothing came after {steps}")


def kill(receiver: LammpsReceiver) -> None:
    receiver._session = None  # so that close() says no goodbye
    receiver.close()
