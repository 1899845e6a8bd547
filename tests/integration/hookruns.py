"""Runs of the real LAMMPS with the hook, and a driver that a test plays."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended, Event, Source, Started

__all__ = [
    "STEPS",
    "STRIDE",
    "TIMEOUT",
    "Collected",
    "Engine",
    "answers",
    "collect",
    "collect_each",
    "data_file",
    "die",
    "output",
    "read_dump",
    "script",
    "start",
    "with_options",
]

TIMEOUT = 60.0
STRIDE = 4
STEPS = 80


def data_file(triclinic: bool) -> str:
    """54 atoms of two types in a box of 16 Å, ids shuffled and with holes."""
    rng = np.random.default_rng(5)
    tilt = np.array([[16.0, 0, 0], [3.0, 16.0, 0], [-2.5, 1.5, 16.0]])
    cell = tilt if triclinic else np.diag([16.0, 16.0, 16.0])
    grid = (np.array(list(np.ndindex(4, 4, 4))) + 0.4) / 4.0
    origin = np.array([-1.25, 0.5, 2.0])
    positions = grid @ cell + rng.normal(scale=0.05, size=grid.shape) + origin
    ids = 3 * rng.permutation(len(positions)) + 2
    lines = ["test", "", f"{len(positions)} atoms", "2 atom types", ""]
    lines += [
        f"{origin[k]} {origin[k] + cell[k, k]} {axis}lo {axis}hi"
        for k, axis in enumerate("xyz")
    ]
    if triclinic:
        lines.append(f"{cell[1, 0]} {cell[2, 0]} {cell[2, 1]} xy xz yz")
    lines += ["", "Masses", "", "1 39.948", "2 20.1797", "", "Atoms # atomic", ""]
    lines += [
        f"{number} {1 + row % 2} {x:.6f} {y:.6f} {z:.6f}"
        for row, (number, (x, y, z)) in enumerate(zip(ids, positions, strict=True))
    ]
    return "\n".join(lines) + "\n"


def script(
    endpoint: str,
    *,
    units: str = "real",
    elements: str = "Ar Ne",
    steps: int = STEPS,
    stride: int = STRIDE,
    hook: str = "mimyria_hook.py",
    extra: str = "",
) -> str:
    epsilon, dt = {"real": (0.24, 2.0), "metal": (0.0104, 0.002), "lj": (1.0, 0.005)}[
        units
    ]
    return f"""
units {units}
atom_style atomic
boundary p p p
newton on
read_data system.data
pair_style lj/cut 6.0
pair_coeff * * {epsilon} 3.2
timestep {dt}
velocity all create 300.0 4711 loop geom
neigh_modify every 1 delay 0 check yes
comm_modify cutoff 8.0
atom_modify sort 20 4.0
fix integrate all nve
{extra}
python mimyria_start input 3 {endpoint} "{elements}" {stride} format ssi file {hook}
python mimyria_start invoke
fix mimyria all python/invoke {stride} end_of_step mimyria_frame
dump check all custom {stride} check.dump id type x y z vx vy vz
dump_modify check sort id format float %.17g
run {steps}
python mimyria_finish exists
python mimyria_finish invoke
"""


@dataclass
class Engine:
    lmp: str
    environment: dict[str, str]
    request: pytest.FixtureRequest


def os_settings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith("MIMYRIA_")}


@dataclass
class Collected:
    started: list[Started] = field(default_factory=list)
    frames: list[Arrived] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        return [each.frame.step for each in self.frames]


def _hear(
    receiver: LammpsReceiver,
    event: Started | Ended | Arrived,
    collected: Collected,
    durable_step: int = -1,
    acknowledge: bool = True,
) -> None:
    if isinstance(event, Started):
        collected.started.append(event)
        receiver.accept(durable_step)
    elif isinstance(event, Ended):
        collected.ended.append(event)
    elif event.frame.step > durable_step:  # the journal knows the others
        collected.frames.append(event)
        if acknowledge:
            receiver.acknowledge(event.frame.step)


def answers(
    source: Source, is_over: Callable[[], object], timeout: float = TIMEOUT
) -> Iterator[Sequence[Event]]:
    """What has come, again and again, until the engine is over and nothing more comes.

    It fails when that takes too long.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        over = is_over()  # asked first: its last words may come while we look
        poller = zmq.Poller()
        poller.register(source.pollable, zmq.POLLIN)
        heard = poller.poll(1000 if over else 50)
        yield source.receive()
        if over and not heard:
            return
    pytest.fail(f"no end within {timeout} s")


def _answers(
    receiver: LammpsReceiver, process: subprocess.Popen[str]
) -> Iterator[Sequence[Event]]:
    try:
        yield from answers(receiver, lambda: process.poll() is not None)
    except pytest.fail.Exception:
        process.kill()
        raise


def collect_each(
    receiver: LammpsReceiver, process: subprocess.Popen[str], n_series: int
) -> list[Collected]:
    """So many series of one engine, one after the other; two may meet in one answer."""
    heard: list[Collected] = []
    for answer in _answers(receiver, process):
        for event in answer:
            if isinstance(event, Started):
                heard.append(Collected())
            _hear(receiver, event, heard[-1])
        if sum(len(each.ended) for each in heard) == n_series:
            break
    return heard


def collect(
    receiver: LammpsReceiver,
    process: subprocess.Popen[str],
    collected: Collected,
    *,
    durable_step: int = -1,
    until_frames: int = 10**9,
    until: Callable[[], bool] = lambda: False,
    acknowledge: bool = True,
) -> None:
    """Play the service: until the engine ends, so many frames are there, or `until`."""
    for answer in _answers(receiver, process):
        for event in answer:
            _hear(receiver, event, collected, durable_step, acknowledge)
        if collected.ended or len(collected.frames) >= until_frames or until():
            return


def start(
    engine: Engine,
    directory: Path,
    text: str,
    *,
    triclinic: bool = False,
    ranks: int = 1,
) -> subprocess.Popen[str]:
    (directory / "in.lammps").write_text(text)
    (directory / "system.data").write_text(data_file(triclinic))
    (directory / "mimyria_hook.py").write_text(bundle_hook())
    command = [engine.lmp, "-in", "in.lammps", "-log", "log.lammps"]
    if ranks > 1:
        mpirun = engine.request.getfixturevalue("mpirun_program")
        flags = ["--oversubscribe"]
        if os.geteuid() == 0:
            flags.append("--allow-run-as-root")
        command = [mpirun, *flags, "-np", str(ranks), *command]
    return subprocess.Popen(
        command,
        cwd=directory,
        env={**engine.environment, **os_settings()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    try:
        text, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return text


def run_through(
    engine: Engine,
    directory: Path,
    receiver: LammpsReceiver,
    text: str,
    *,
    triclinic: bool = False,
    ranks: int = 1,
) -> tuple[Collected, str]:
    """A run that ends well: what came, and what LAMMPS said; closes the receiver."""
    process = start(engine, directory, text, triclinic=triclinic, ranks=ranks)
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    return collected, log


def read_dump(path: Path) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each step: type and x (n, 3) and v (n, 3), sorted by id, and the cell."""
    frames = {}
    lines = path.read_text().splitlines()
    at = 0
    while at < len(lines):
        step, n_atoms = int(lines[at + 1]), int(lines[at + 3])
        rows = [line.split() for line in lines[at + 9 : at + 9 + n_atoms]]
        table = np.array(rows, dtype=np.float64)
        assert (np.diff(table[:, 0]) > 0).all()
        frames[step] = (table[:, 1], table[:, 2:5], table[:, 5:8])
        at += 9 + n_atoms
    return frames


def die(receiver: LammpsReceiver) -> None:
    """What kill -9 leaves: the socket is gone and no word was said."""
    receiver._session = None  # close() then has no one to say goodbye to
    receiver.close()


def with_options(text: str, options: str) -> str:
    lines = [
        line.replace("input 3", "input 4").replace(
            "format ssi", f"{options} format ssis"
        )
        if "mimyria_start input" in line
        else line
        for line in text.splitlines()
    ]
    return "\n".join(lines) + "\n"
