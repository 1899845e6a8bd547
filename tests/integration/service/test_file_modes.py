"""S2: everything that a real run makes is for its user alone, whatever the umask."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import analytic
import pytest

SOAKING = Path(__file__).parents[2] / "soak" / "soaking.py"
TIMEOUT = 60.0
RUN = """
[run]
directory = "run"
[source]
kind = "lammps"
endpoint = "{endpoint}"
check_velocities = "warn"
[models]
apt = "python:analytic:make_model"
pgt = "python:analytic:make_model"
search = "{search}"
device = "cpu"
[spectrum]
resolution = 200.0
[groups]
velocity_probes = 2
"""


@pytest.mark.parametrize(
    ("umask", "endpoint"),
    [
        (0o000, "tcp://127.0.0.1:*"),
        pytest.param(0o022, "ipc://run/engine", marks=pytest.mark.slow),
    ],
)
def test_everything_a_run_makes_is_private(short_directory, umask, endpoint):
    (short_directory / "run.toml").write_text(
        RUN.format(endpoint=endpoint, search=Path(analytic.__file__).parent)
    )
    before = os.umask(umask)
    try:
        driver = subprocess.Popen(
            [sys.executable, "-m", "mimyria_driver", "run", "run.toml"],
            cwd=short_directory,
            stderr=subprocess.PIPE,
        )
        engine = subprocess.Popen(
            [
                *(sys.executable, str(SOAKING), "engine"),
                *("run/endpoint.json", "80", "engine-report.json"),
            ],
            cwd=short_directory,
        )
    finally:
        os.umask(before)
    assert engine.wait(TIMEOUT) == 0
    # The socket of a run is there while it goes on.
    _, said = driver.communicate(timeout=TIMEOUT)
    assert driver.returncode == 0, said.decode()
    run = short_directory / "run"
    modes = {"run": stat.S_IMODE(run.stat().st_mode)}
    for each in run.rglob("*"):
        modes[str(each.relative_to(run))] = stat.S_IMODE(each.stat().st_mode)
    wanted = {"run", "journal", "spectrum.h5", "status.json", "evaluator.log", "lock"}
    assert modes.keys() >= {*wanted, "endpoint.json", "ir.png", "vdos.png"}
    assert ("curve.json" in modes) == endpoint.startswith("tcp")
    assert {name for name, mode in modes.items() if mode & 0o077} == set()
