"""The whole service with a real LAMMPS, which must not notice the driver die."""

import shutil
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL, SIGTERM

import analytic
import pytest
from waterruns import wait_for_records

from mimyria.storage import read_result
from mimyria_driver.journal import read_journal
from mimyria_driver.lammps.bundle import bundle_hook

pytestmark = pytest.mark.engine

INPUTS = Path(__file__).resolve().parents[3] / "inputs" / "lammps" / "water"
STEPS = 600
TIMEOUT = 120.0


def start_lammps(program, environment, folder):
    shutil.copytree(INPUTS, folder)
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    return subprocess.Popen(
        [
            *(program, "-in", "in.lammps", "-screen", "none"),
            *("-var", "warmup", "50", "-var", "steps", str(STEPS)),
        ],
        cwd=folder,
        env=environment,
    )


def start_driver(folder):
    return subprocess.Popen(
        [sys.executable, analytic.__file__, "lammps", str(folder / "spectrum")],
        stderr=subprocess.PIPE,
    )


def finish(driver, lammps):
    _, errors = driver.communicate(timeout=TIMEOUT)
    assert driver.returncode == 0, errors.decode()
    assert lammps.wait(timeout=TIMEOUT) == 0


def test_killed_or_stopped_driver_misses_nothing_of_a_real_run(
    lammps_program, engine_environment, short_directory
):
    """Ended twice and started again: to the bit the journal of the quiet run."""
    journals = {}
    ends = {"quiet": (), "killed": (20, 70), "stopped": (20, 70)}
    for name, kills in ends.items():
        folder = short_directory / name
        lammps = start_lammps(lammps_program, engine_environment, folder)
        driver = start_driver(folder)
        try:
            for n in kills:
                wait_for_records(folder, n, driver, lammps)
                driver.send_signal(SIGTERM if name == "stopped" else SIGKILL)
                driver.communicate(timeout=TIMEOUT)
                assert driver.returncode == (75 if name == "stopped" else -SIGKILL)
                driver = start_driver(folder)
            finish(driver, lammps)
        finally:
            for process in (driver, lammps):
                process.kill()
                process.wait(timeout=TIMEOUT)
        journals[name] = (folder / "spectrum" / "journal").read_bytes()
        steps = [record.step for record in read_journal(folder / "spectrum/journal")]
        assert steps == list(range(4, STEPS + 1, 4))
    assert journals["quiet"] == journals["killed"] == journals["stopped"]
    result = read_result(folder / "spectrum" / "spectrum.h5")
    assert result.provenance["segments"] == 1
    assert 200 < result.provenance["kinetic_temperature"] < 400
