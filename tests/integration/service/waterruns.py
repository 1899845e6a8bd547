"""Runs of LAMMPS with the shipped water, and their drivers, for tests of kills."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from hammer import Driver, Engine

from mimyria_driver.identity import read_header
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
    """Until a journal has n records; the processes must live meanwhile."""
    path = folder / "spectrum" / "journal"
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if path.exists():
            identity, start = read_header(path)
            grown = path.stat().st_size - start
            if identity.grouping and grown >= n * identity.record_size:
                return
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)
    pytest.fail(f"fewer than {n} records in {TIMEOUT} s")
