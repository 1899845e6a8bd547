"""Runs of LAMMPS with the shipped water, and their drivers, for tests of kills."""

from __future__ import annotations

import shutil
from pathlib import Path

import growing
from hammer import Driver, Engine

from mimyria_driver.lammps.bundle import bundle_hook

__all__ = ["Lammps", "driver_of", "expected", "wait_for_records"]

INPUTS = Path(__file__).resolve().parents[3] / "inputs" / "lammps" / "water"
STRIDE = 4
TIMEOUT = 120.0


class Lammps(Engine):
    """The shipped input for runs in pieces, started as often as it takes."""

    def __init__(self, program, environment, folder, n_steps, every):
        shutil.copytree(INPUTS, folder)
        (folder / "mimyria_hook.py").write_text(bundle_hook())
        super().__init__(folder)
        self.environment = environment
        self.words = [
            *(program, "-in", "restart.lammps", "-log", "none"),
            *("-var", "warmup", "50", "-var", "steps", str(n_steps)),
            *("-var", "every", str(every)),
        ]

    def command(self):
        return self.words


def driver_of(folder):
    return Driver(["lammps", str(folder / "spectrum")], folder)


def expected(n_steps):
    return list(range(0, n_steps + 1, STRIDE))


def wait_for_records(folder, n, *processes):
    """Until the journal of a run in `folder` has n records."""
    growing.wait_for_records(folder / "spectrum", n, *processes, seconds=TIMEOUT)
