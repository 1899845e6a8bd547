"""`rerun`: the hook over a stored dump gives what it gave in the run that wrote it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.units import DIPOLE_CORRELATION_UNIT
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended, Started
from tests.integration.hookruns import answers

pytestmark = pytest.mark.engine

TIMEOUT = 60.0
STEPS, STRIDE = 400, 4

SYSTEM = """
units metal
atom_style atomic
lattice fcc 5.4
region box prism 0 2 0 2 0 2 1.0 0.5 -0.7
create_box 2 box
create_atoms 1 box
displace_atoms all random 0.3 0.3 0.3 87 units box
set group all type/fraction 2 0.5 12345
mass 1 39.948
mass 2 20.1797
pair_style lj/cut 5.0
pair_coeff * * 0.0104 3.2
timestep 0.002
neigh_modify every 1 delay 0 check yes
velocity all create 300.0 4711
{integrate}
run 0
python mimyria_start input 3 {endpoint} "Ar Ne" 4 format ssi file mimyria_hook.py
python mimyria_start invoke
python mimyria_frame input 1 SELF format p exists
{first}
fix mimyria all python/invoke 4 end_of_step mimyria_frame
{run}
python mimyria_finish exists
python mimyria_finish invoke
"""
LIVE = """
dump kept all custom 4 kept.dump id type x y z vx vy vz
dump_modify kept sort id format float %.17g
run 400
"""


@dataclass
class Heard:
    started: list[Started] = field(default_factory=list)
    frames: list[Arrived] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    code: int | None = None
    log: str = ""


def run(
    program: str,
    environment: dict[str, str],
    folder: Path,
    run: str,
    prefix: tuple[str, ...] = (),
) -> Heard:
    """What a driver hears of a LAMMPS."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    live = run == LIVE
    text = SYSTEM.format(
        endpoint=receiver.endpoint,
        run=run,
        integrate="fix integrate all nve" if live else "",
        # A rerun calls the hook at its first frame itself.
        first="python mimyria_frame invoke" if live else "",
    )
    (folder / "in.lammps").write_text(text)
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    process = subprocess.Popen(
        [*prefix, program, "-in", "in.lammps", "-log", "none"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    heard = Heard()
    for answer in answers(receiver, lambda: process.poll() is not None, TIMEOUT):
        for event in answer:
            if isinstance(event, Started):
                heard.started.append(event)
                receiver.accept(-1)
            elif isinstance(event, Ended):
                heard.ended.append(event)
            else:
                heard.frames.append(event)
                receiver.acknowledge(event.frame.step)
        if heard.ended:
            break
    heard.log, _ = process.communicate(timeout=TIMEOUT)
    receiver.close()
    heard.code = process.returncode
    return heard


def spectrum(heard: Heard) -> np.ndarray:
    """Correlation function of Σ q v with charges by element, as the service has it."""
    interval = heard.started[0].description.interval
    correlator = Correlator(3, 41, interval, DIPOLE_CORRELATION_UNIT)
    for arrived in heard.frames:
        frame = arrived.frame
        charges = np.where(frame.numbers == 18, 0.7, -0.3)
        assert frame.velocities is not None
        correlator.push(charges @ frame.velocities)
    return correlator.result().values


def test_a_rerun_with_velocities_gives_the_frames_and_the_spectrum_of_the_run(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    arguments = (lammps_program, engine_environment, short_directory)
    live = run(*arguments, LIVE)
    assert live.code == 0, live.log
    again = run(*arguments, "rerun kept.dump dump x y z vx vy vz")
    assert again.code == 0, again.log
    steps = list(range(0, STEPS + 1, STRIDE))
    assert [each.frame.step for each in live.frames] == steps
    assert [each.frame.step for each in again.frames] == steps
    assert [each.reason for each in again.ended] == ["end of the run"]
    for ours, theirs in zip(again.frames, live.frames, strict=True):
        assert ours.previous_step == theirs.previous_step
        frame, other = ours.frame, theirs.frame
        np.testing.assert_array_equal(frame.numbers, other.numbers)
        np.testing.assert_array_equal(frame.velocities, other.velocities)
        np.testing.assert_allclose(frame.cell, other.cell, rtol=0, atol=1e-13)
        # A rerun puts every atom into the box.
        apart = (frame.positions - other.positions) @ np.linalg.inv(other.cell)
        np.testing.assert_allclose(apart, np.round(apart), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(spectrum(again), spectrum(live))


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rerun_without_velocities_is_refused(
    lammps_program: str,
    mpirun_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
    ranks: int,
) -> None:
    arguments = (lammps_program, engine_environment, short_directory)
    assert run(*arguments, LIVE).code == 0
    flags = ["--oversubscribe", "-np", str(ranks)]
    flags += ["--allow-run-as-root"] if os.geteuid() == 0 else []
    prefix = (mpirun_program, *flags) if ranks > 1 else ()
    heard = run(*arguments, "rerun kept.dump dump x y z", prefix)
    assert heard.code == 76
    assert "velocities never change, as with fix ipi or a rerun without" in heard.log
    assert len(heard.frames) <= 1
