"""A real i-PI with the hook inside while it and its drivers are killed."""

from __future__ import annotations

import os
import sys

import pytest
from hammer import (
    Driver,
    Engine,
    hammered,
    moments_of,
    restarted,
    same_as,
    steps,
    undisturbed,
)

from tests.integration.driven_input import init_xyz
from tests.integration.test_ipi_hook import DYNAMICS, INPUT

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

STRIDE = 4
BARRIER = 20
N_STEPS = 600


class HookedIpi(Engine):
    """Langevin dynamics that goes on from its checkpoint when it is started again."""

    def __init__(self, folder):
        folder.mkdir()
        super().__init__(folder)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        text = INPUT.format(
            steps=N_STEPS,
            nbeads=1,
            dynamics=DYNAMICS["langevin"],
            x="positions",
            v="velocities",
        ).replace("stride='10'", f"stride='{BARRIER}'")
        (folder / "input.xml").write_text(text)
        (folder / "init.xyz").write_text(init_xyz())

    def command(self):
        checkpoint = self.folder / "o.chk"
        begin = "input.xml"
        if checkpoint.exists() and "</simulation>" in checkpoint.read_text():
            begin = "begin.xml"
            checkpoint.rename(self.folder / begin)
        elif (self.folder / "begin.xml").exists():
            begin = "begin.xml"  # killed in the middle of writing: the one before
        endpoint = self.folder / "spectrum" / "endpoint.json"
        words = [sys.executable, "-m", "mimyria_driver.inprocess", begin]
        words += ["--endpoint", str(endpoint), "--stride", str(STRIDE)]
        return [*words, "--options", f"barrier={BARRIER}"]


def driver_of(folder):
    return Driver(["lammps", str(folder / "spectrum")], folder)


@pytest.mark.usefixtures("ipi_program")
def test_killed_drivers_and_a_killed_ipi_leave_the_journal_of_a_quiet_run(
    short_directory,
):
    """To the bit, under a thermostat, from full-precision checkpoints."""
    quiet, ipi = short_directory / "quiet", short_directory / "ipi"
    undisturbed(HookedIpi(quiet), driver_of(quiet))
    assert steps(quiet) == list(range(0, N_STEPS + 1, STRIDE))
    restarted(HookedIpi(ipi), driver_of(ipi), ipi, moments_of(8, N_STEPS, 1, 10))
    assert steps(ipi) == steps(quiet)
    same_as(ipi, quiet)
    drivers = short_directory / "drivers"
    hammered(HookedIpi(drivers), driver_of(drivers), drivers, 2, 2)
    same_as(drivers, quiet)
