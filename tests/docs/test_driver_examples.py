"""The examples of docs/driver.md for MD from Python, taken from there and run."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.io.trajectory import Trajectory
from ase.md.verlet import VelocityVerlet

from mimyria_driver.observers.ase import Observer
from tests.playeddriver import PlayedDriver

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "driver.md").read_text()
SECTION = TEXT.split("## MD from Python")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```python\n(.*?)```", SECTION, re.S)


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Its endpoint stands where the examples look for it."""
    monkeypatch.chdir(tmp_path)
    Path("spectrum").mkdir()
    path = Path("spectrum/endpoint.json")
    with PlayedDriver() as driver:
        path.touch(0o600)
        path.write_text(json.dumps({"version": 1, "endpoint": driver.endpoint}))
        yield driver


def run(index, names, **changes):
    """An example, shorter by the changes, with what stands before it in a script."""
    text = BLOCKS[index]
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    exec(compile(text, "docs/driver.md", "exec"), names)
    return names


def neon(rng):
    positions = [[0, 0, 0], [3, 0, 0], [0, 3.1, 0], [0, 0, 3.2]]
    atoms = Atoms("Ne4", positions, cell=[8, 8, 8], pbc=True)
    atoms.calc = LennardJones(epsilon=0.005, sigma=2.7)
    atoms.set_velocities(rng.normal(0.0, 0.015, (4, 3)))
    return atoms


def test_the_example_of_ase_streams(driver, rng):
    run(0, {"atoms": neon(rng)}, **{"20000": "40"})
    driver.join()
    assert driver.steps == list(range(0, 41, 4))
    assert driver.descriptions[0].time_step == 0.5


def test_the_example_of_any_loop_streams(driver, rng):
    atoms = neon(rng)
    velocities = atoms.get_velocities() * units.fs

    def my_dynamics():
        for step in range(0, 41, 4):
            slower = 1.0 - 1e-9 * step  # velocities that never change are refused
            yield step, atoms.positions + 0.5 * step * velocities, slower * velocities

    names = {
        "masses": atoms.get_masses(),
        "numbers": atoms.numbers,
        "cell": np.array(atoms.cell),
        "my_dynamics": my_dynamics,
    }
    run(2, names)
    driver.join()
    assert driver.steps == list(range(0, 41, 4))


def test_the_example_of_a_run_that_goes_on_leaves_no_border(driver, rng):
    atoms = neon(rng)
    dyn = VelocityVerlet(atoms, 0.5 * units.fs)
    observer = Observer(dyn, "spectrum/endpoint.json")
    dyn.attach(observer, interval=4)
    with Trajectory("md.traj", "w", atoms) as trajectory:
        dyn.attach(trajectory.write, interval=100)
        dyn.run(240)
    driver.wait_for(lambda: 240 in driver.frames)
    observer.close()  # killed
    names = {
        "calculator": LennardJones(epsilon=0.005, sigma=2.7),
        "units": units,
        "VelocityVerlet": VelocityVerlet,
        "Observer": Observer,
    }
    # Nothing but the end of the process closes the file that the example appends to.
    names = run(
        3,
        names,
        **{
            'Trajectory("md.traj", "a", atoms).write': "appended.write",
            "dyn.nsteps = step": "dyn.nsteps = step\n"
            'appended = Trajectory("md.traj", "a", atoms)',
            "20000": "400",
        },
    )
    names["appended"].close()
    driver.join()
    assert names["step"] == 200
    assert len(driver.descriptions) == 2
    assert [driver.before[step] for step in driver.steps] == [-1, *range(0, 397, 4)]
    with Trajectory("md.traj") as trajectory:
        assert len(trajectory) == 5


@pytest.fixture
def three():
    """What keeps drivers open until the test is over."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_the_example_of_torchsim_streams_three_systems(driver, three, tmp_path, rng):
    """With the real TorchSim, where it is installed."""
    ts = pytest.importorskip("torch_sim")
    import torch
    from torch_sim.models.lennard_jones import LennardJonesModel

    model = LennardJonesModel(
        sigma=2.7, epsilon=0.005, cutoff=4.0, dtype=torch.float64, compute_forces=True
    )
    drivers = [three.enter_context(PlayedDriver()) for _ in range(3)]
    for number, each in enumerate(drivers):
        folder = tmp_path / "spectrum" / "replicas" / f"{number:03d}"
        folder.mkdir(parents=True)
        path = folder / "endpoint.json"
        path.touch(0o600)
        path.write_text(json.dumps({"version": 1, "endpoint": each.endpoint}))
    files = [str(tmp_path / f"{number}.h5") for number in range(3)]
    names = {
        "files": files,
        "systems": [neon(rng) for _ in range(3)],
        "model": model,
        "integrator": ts.Integrator.nve if hasattr(ts, "Integrator") else ts.nve,
    }
    kept = "4, state_kwargs={'save_velocities': True}, "
    kept += "trajectory_kwargs={'coerce_to_float32': False}"
    run(1, names, **{"20000": "40", "state_frequency=1000": kept})
    for number, each in enumerate(drivers):
        each.join()
        assert each.steps[-10:] == list(range(4, 41, 4))
        with ts.TorchSimTrajectory(files[number], mode="r") as trajectory:
            x, v = (trajectory.get_array(n) for n in ("positions", "velocities"))
        for index, step in enumerate(range(4, 41, 4), start=len(x) - 10):
            frame = each.frames[step]
            np.testing.assert_array_equal(frame.positions, x[index])
            np.testing.assert_allclose(
                frame.velocities, v[index] * units.fs, rtol=1e-14, atol=0
            )
    assert (drivers[0].frames[40].velocities != drivers[1].frames[40].velocities).all()
