"""ASE and the real driver: the same as a replay, whatever is killed meanwhile."""

from __future__ import annotations

import os
import sys

import analytic
import pytest
from ase.io.trajectory import Trajectory
from hammer import (
    Command,
    Driver,
    Engine,
    hammered,
    last_step,
    moments_of,
    restarted,
    run_file,
    same_as,
    steps,
    undisturbed,
)

from mimyria.frame import Frame
from mimyria.io import LabelledFrame, write_extxyz
from mimyria.tensors import Tensors
from mimyria.units import FS_PER_ASE_TIME
from mimyria_driver.assembly import build_source
from mimyria_driver.journal import read_journal

pytestmark = pytest.mark.slow

STRIDE, BARRIER, N_STEPS = 4, 20, 400

# Two molecules of springs in a skewed cell, in pieces that go on from a trajectory.
SCRIPT = """
import os, sys
import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet
from mimyria_driver.observers.ase import Observer

class Springs(Calculator):
    implemented_properties = ["energy", "forces"]
    def calculate(self, atoms, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        bent = self.atoms.positions - PLACES
        self.results = {"energy": 2 * (bent**2).sum(), "forces": -4.0 * bent}

PLACES = np.random.default_rng(5).uniform(0.0, 6.0, (6, 3))
cell = [[6.0, 0.0, 0.0], [1.0, 6.5, 0.0], [0.5, -1.0, 7.0]]
atoms, begin, new = Atoms("OHHOHH", PLACES, cell=cell, pbc=True), 0, True
atoms.set_velocities(np.random.default_rng(6).normal(0.0, 0.1, (6, 3)))
if os.path.exists("md.traj"):
    with Trajectory("md.traj") as trajectory:
        new = not len(trajectory)
        if not new:
            atoms, begin = trajectory[-1], BARRIER * (len(trajectory) - 1)
atoms.calc = Springs()
dyn = VelocityVerlet(atoms, 0.5 * units.fs)
dyn.nsteps = begin
with (
    Trajectory("md.traj", "w" if new else "a", atoms) as trajectory,
    Trajectory("all.traj", "w", atoms) as everything,
    Observer(dyn, "spectrum/endpoint.json", options=f"barrier={BARRIER}") as observer,
):
    dyn.attach(observer, interval=STRIDE)
    if begin:
        observer()
    dyn.attach(trajectory.write, interval=BARRIER)
    dyn.attach(everything.write, interval=STRIDE)
    dyn.run(N_STEPS // 2 - begin if begin < N_STEPS // 2 else 0)
    dyn.run(N_STEPS - dyn.nsteps)
"""


class Ase(Engine):
    """The script, which goes on from its trajectory when it is started again."""

    def __init__(self, folder):
        folder.mkdir()
        super().__init__(folder)
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        head = f"STRIDE, BARRIER, N_STEPS = {STRIDE}, {BARRIER}, {N_STEPS}\n"
        (folder / "md.py").write_text(head + SCRIPT)

    def command(self):
        return [sys.executable, "md.py"]


def driver_of(folder):
    return Driver(["lammps", str(folder / "spectrum")], folder)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("q") / "ase"
    undisturbed(Ase(folder), driver_of(folder))
    assert steps(folder) == list(range(0, N_STEPS + 1, STRIDE))
    return folder


def test_the_replay_of_the_trajectory_of_ase_has_the_same_records(quiet, tmp_path):
    frames = []
    with Trajectory(quiet / "all.traj") as trajectory:
        for number, atoms in enumerate(trajectory):
            frame = Frame(
                atoms.numbers,
                atoms.positions,
                atoms.cell.array,
                atoms.get_velocities() / FS_PER_ASE_TIME,
                number * STRIDE,
            )
            frames.append(LabelledFrame(frame, Tensors(), {}))
    assert len(frames) == N_STEPS // STRIDE + 1
    path = tmp_path / "all.extxyz"
    write_extxyz(path, frames)
    source = {"kind": "replay", "path": str(path), "time_step": 0.5, "stride": STRIDE}
    settings = analytic.make_settings(tmp_path / "replayed", source=source)
    assert analytic.serve(settings, lambda: build_source(settings)) == 0
    live = list(read_journal(quiet / "spectrum" / "journal"))
    again = list(read_journal(tmp_path / "replayed" / "journal"))
    assert len(live) == len(again) == len(frames)
    for ours, theirs in zip(live, again, strict=True):
        assert (ours.step, ours.previous_step) == (theirs.step, theirs.previous_step)
        assert (ours.digest, ours.time) == (theirs.digest, theirs.time)
        for name in ("dipole", "polarizability"):
            found, wanted = (getattr(each.currents, name) for each in (ours, theirs))
            assert found.tobytes() == wanted.tobytes()


def test_a_driver_that_is_killed_and_started_again_misses_nothing(
    quiet, short_directory
):
    folder = short_directory / "ase"
    hammered(Ase(folder), driver_of(folder), folder, 2, 2)
    same_as(folder, quiet)


def test_a_killed_ase_goes_on_from_its_trajectory_without_a_border(
    quiet, short_directory
):
    folder = short_directory / "ase"
    driver = driver_of(folder)
    restarted(Ase(folder), driver, folder, moments_of(8, N_STEPS, 1, 30))
    assert last_step(folder) == N_STEPS
    same_as(folder, quiet)


def test_a_refused_handshake_ends_the_script_with_one_clear_line(short_directory):
    """A frame every 6 fs, with hydrogen."""
    folder = short_directory / "ase"
    engine = Ase(folder)
    driver = Command([run_file(folder, 'kind = "lammps"')], folder)
    text = (
        (folder / "md.py")
        .read_text()
        .replace("STRIDE, BARRIER, N_STEPS = 4", "STRIDE, BARRIER, N_STEPS = 12")
    )
    (folder / "md.py").write_text(text)
    driver.start()
    engine.start()
    try:
        assert engine.process.wait(120.0) == 1
        assert driver.finish() == 65
    finally:
        engine.end()
        driver.end()
    last = engine.log.strip().splitlines()[-1]
    assert last.startswith("mimyria.errors.FrameError: The driver refuses this run: ")
    assert "a frame every 6 fs shows vibrations up to" in last
