"""The hook inside a real i-PI: exact velocities of every kind of dynamics."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.inprocess.__main__ import main
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended, Started
from tests.integration.driven_input import init_xyz
from tests.integration.driven_runs import NUMBERS, TIMEOUT
from tests.integration.hookruns import answers

pytestmark = pytest.mark.engine

STEPS = 40
VELOCITY = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
DYNAMICS = {
    "langevin": """
   <dynamics mode='nvt'>
    <timestep units='femtosecond'> 0.5 </timestep>
    <thermostat mode='langevin'><tau units='femtosecond'> 50 </tau></thermostat>
   </dynamics>""",
    "npt": """
   <dynamics mode='npt'>
    <timestep units='femtosecond'> 0.5 </timestep>
    <thermostat mode='svr'><tau units='femtosecond'> 50 </tau></thermostat>
    <barostat mode='isotropic'><tau units='femtosecond'> 50 </tau>
     <thermostat mode='langevin'><tau units='femtosecond'> 50 </tau></thermostat>
    </barostat>
   </dynamics>""",
}
INPUT = """
<simulation verbosity='low' floatformat='%24.16e'>
 <output prefix='o'>
  <trajectory filename='pos' format='bin'> {x} </trajectory>
  <trajectory filename='vel' format='bin'> {v} </trajectory>
  <checkpoint stride='10' filename='chk' overwrite='True'/>
 </output>
 <total_steps>{steps}</total_steps>
 <prng><seed>31415</seed></prng>
 <ffdirect name='well'>
  <pes>harmonic</pes><parameters>{{k1: 0.5}}</parameters>
 </ffdirect>
 <system>
  <initialize nbeads='{nbeads}'>
   <file mode='xyz'> init.xyz </file>
   <velocities mode='thermal' units='kelvin'> 300 </velocities>
  </initialize>
  <forces><force forcefield='well'/></forces>
  <motion mode='dynamics'><fixcom>False</fixcom>{dynamics}</motion>
  <ensemble>
   <temperature units='kelvin'> 300 </temperature>
   <pressure units='megapascal'> 10 </pressure>
  </ensemble>
 </system>
</simulation>
"""


def write_input(folder: Path, kind: str, nbeads: int = 1, steps: int = STEPS) -> None:
    folder.mkdir(exist_ok=True)
    x, v = ("x_centroid", "v_centroid") if nbeads > 1 else ("positions", "velocities")
    (folder / "input.xml").write_text(
        INPUT.format(steps=steps, nbeads=nbeads, dynamics=DYNAMICS[kind], x=x, v=v)
    )
    (folder / "init.xyz").write_text(init_xyz())


def start(
    folder: Path, *options: str, begin: str = "input.xml"
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mimyria_driver.inprocess", begin]
    with (folder / "ipi.log").open("ab") as log:
        return subprocess.Popen(
            [*command, "--endpoint", f"ipc://{folder}/engine", *options],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def collect(
    receiver: LammpsReceiver,
    process: subprocess.Popen[bytes],
    n_frames: int = 10**9,
    durable: int = -1,
) -> list[Arrived]:
    """Frames until the end of the run, or so many; all are acknowledged."""
    frames: list[Arrived] = []
    for answer in answers(receiver, lambda: process.poll() is not None, TIMEOUT):
        for event in answer:
            if isinstance(event, Started):
                assert event.description.engine.startswith("i-PI 3.")
                receiver.accept(durable)
            elif isinstance(event, Ended):
                return frames
            else:
                frames.append(event)
                receiver.acknowledge(event.frame.step)
        if len(frames) >= n_frames:
            return frames
    pytest.fail(f"i-PI ended without a word after {len(frames)} frames")


def read_bin(path: Path, n_frames: int = STEPS + 1) -> tuple[np.ndarray, np.ndarray]:
    """Cells (columns are vectors) and arrays (n_frames, 9, 3), atomic units."""
    frames = np.frombuffer(path.read_bytes(), np.uint8).reshape(n_frames, -1)
    cells = frames[:, :72].copy().view(np.float64).reshape(n_frames, 3, 3)
    values = frames[:, 80 : 80 + 24 * len(NUMBERS)].copy().view(np.float64)
    return cells, values.reshape(n_frames, -1, 3)


@pytest.mark.parametrize(
    ("kind", "nbeads"), [("langevin", 1), ("langevin", 4), ("npt", 1)]
)
@pytest.mark.usefixtures("ipi_program")
def test_velocities_are_those_that_ipi_prints_from_the_first_step_on(
    short_directory: Path, kind: str, nbeads: int
) -> None:
    write_input(short_directory, kind, nbeads)
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    process = start(short_directory)
    frames = collect(receiver, process)
    assert process.wait(TIMEOUT) == 0
    receiver.close()
    assert [each.frame.step for each in frames] == list(range(STEPS + 1))
    assert [each.previous_step for each in frames] == list(range(-1, STEPS))
    end = "_0.bin" if nbeads == 1 else ".bin"
    cells, positions = read_bin(short_directory / f"o.pos{end}")
    _, velocities = read_bin(short_directory / f"o.vel{end}")
    for step, arrived in enumerate(frames):
        frame = arrived.frame
        np.testing.assert_array_equal(frame.numbers, NUMBERS)
        for found, printed in (
            (frame.velocities, velocities[step] * VELOCITY),
            (frame.positions, positions[step] * ANGSTROM_PER_IPI_BOHR),
            (frame.cell, cells[step].T * ANGSTROM_PER_IPI_BOHR),
        ):
            np.testing.assert_allclose(
                found, printed, rtol=1e-14, atol=1e-15 * np.abs(printed).max()
            )
    moved = np.ptp(cells, axis=0).max() > 1e-4
    assert moved == (kind == "npt")


@pytest.mark.slow
@pytest.mark.usefixtures("ipi_program")
def test_a_run_from_a_checkpoint_begins_with_the_frame_of_its_step(
    short_directory: Path,
) -> None:
    """To the bit the one of before, so that a journal goes on without a border."""
    write_input(short_directory, "langevin", steps=20)
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    process = start(short_directory, "--stride", "5", "--options", "barrier=10")
    first = collect(receiver, process)
    assert process.wait(TIMEOUT) == 0
    text = (short_directory / "o.chk").read_text()
    (short_directory / "begin.xml").write_text(
        text.replace("<total_steps>20<", "<total_steps>30<")
    )
    process = start(short_directory, "--stride", "5", begin="begin.xml")
    second = collect(receiver, process)
    assert process.wait(TIMEOUT) == 0
    receiver.close()
    assert [each.frame.step for each in first] == [0, 5, 10, 15, 20]
    assert [each.frame.step for each in second] == [20, 25, 30]
    for name in ("positions", "velocities", "cell"):
        before, after = (getattr(each.frame, name) for each in (first[-1], second[0]))
        np.testing.assert_array_equal(before, after)


def wait_for_line(folder: Path, text: str) -> None:
    log, deadline = folder / "ipi.log", time.monotonic() + TIMEOUT
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("ipi_program")
def test_a_signal_ends_the_wait_for_a_driver_and_nothing_is_missed(
    short_directory: Path,
) -> None:
    write_input(short_directory, "langevin", steps=8)
    process = start(short_directory)  # and no driver
    wait_for_line(short_directory, "waiting for the driver")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20.0) == 0
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    process = start(short_directory, begin="RESTART")
    frames = collect(receiver, process)
    assert process.wait(TIMEOUT) == 0
    receiver.close()
    assert [each.frame.step for each in frames] == list(range(9))


@pytest.mark.usefixtures("ipi_program")
def test_a_driver_that_comes_late_gets_all_frames(short_directory: Path) -> None:
    write_input(short_directory, "langevin")
    process = start(short_directory)
    wait_for_line(short_directory, "waiting for the driver")
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    first = collect(receiver, process, n_frames=10)
    receiver.close(coming_back=True)
    last = first[-1].frame.step
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    second = collect(receiver, process, durable=last)
    assert process.wait(TIMEOUT) == 0
    receiver.close()
    steps = [each.frame.step for each in (*first, *second)]
    assert steps == list(range(STEPS + 1))


@pytest.mark.usefixtures("ipi_program")
@pytest.mark.parametrize("policy", ["drop", "stop"])
def test_policies_of_the_hook_hold_in_ipi(short_directory: Path, policy: str) -> None:
    write_input(short_directory, "langevin")
    process = start(short_directory, "--options", f"policy={policy}", "wait=0.2")
    assert process.wait(TIMEOUT) == 0
    restart = (short_directory / "RESTART").read_text()
    step = re.findall(r"<step>\s*(\d+)\s*</step>", restart)
    log = (short_directory / "ipi.log").read_text()
    if policy == "drop":
        assert step == [str(STEPS)]
        assert "frames were dropped" in log
    else:
        assert step == []  # 0, at which the driver was missed
        assert "The run stops at step 0." in log


@pytest.mark.usefixtures("ipi_program")
def test_a_missing_input_is_one_line_and_66(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nosuch.xml"
    assert main([str(path), "--endpoint", "x"]) == 66
    assert capsys.readouterr().err == f"error: There is no file '{path}'.\n"


@pytest.mark.usefixtures("ipi_program")
def test_what_makes_no_spectrum_is_refused_with_78(short_directory: Path) -> None:
    write_input(short_directory, "langevin")
    text = (short_directory / "input.xml").read_text()
    begin, end = text.index("<system>"), text.index("</system>") + len("</system>")
    twice = text[:end] + text[begin:end] + text[end:]
    (short_directory / "input.xml").write_text(twice)
    process = start(short_directory)
    assert process.wait(TIMEOUT) == 78
    log = (short_directory / "ipi.log").read_text()
    assert "The input has 2 systems, but a driver serves one. Choose one by --s" in log
