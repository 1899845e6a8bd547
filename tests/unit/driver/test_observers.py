"""MD of ASE, and of any loop in Python, on its way to a driver."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.io.trajectory import Trajectory
from ase.md.langevin import Langevin
from ase.md.nptberendsen import NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from mimyria.errors import EngineError, FrameError, SettingsError, ShapeError
from mimyria.frame import Frame
from mimyria.units import FS_PER_ASE_TIME
from mimyria_driver.lammps import window
from mimyria_driver.observers import Stream
from mimyria_driver.observers.ase import Observer
from tests.playeddriver import PlayedDriver

CELL = np.array([[9.0, 0.0, 0.0], [2.0, 9.5, 0.0], [-1.0, 0.5, 10.0]])
NUMBERS = np.array([18, 10, 18, 10])
MASSES = np.array([39.948, 20.1797, 39.948, 20.1797])


def argon(seed: int = 1, **changes: object) -> Atoms:
    """Two argon, two neon atoms in a skewed cell, at some 100 K."""
    rng = np.random.default_rng(seed)
    positions = [[0, 0, 0], [3.8, 0, 0], [0, 3.9, 0], [0, 0, 3.7]]
    atoms = Atoms(NUMBERS, positions, cell=CELL, pbc=True, **changes)
    atoms.calc = LennardJones(epsilon=0.01, sigma=3.3, rc=8.0)
    atoms.set_velocities(rng.normal(0.0, 0.015, (4, 3)))
    return atoms


def verlet(atoms: Atoms) -> VelocityVerlet:
    return VelocityVerlet(atoms, 1.0 * units.fs)


class Kept:
    """What ASE itself has at each sampled step."""

    def __init__(self, dyn: VelocityVerlet, interval: int = 4) -> None:
        self.steps: list[int] = []
        self.atoms: list[Atoms] = []
        self._dyn = dyn
        dyn.attach(self, interval=interval)

    def __call__(self) -> None:
        self.steps.append(self._dyn.nsteps)
        self.atoms.append(self._dyn.atoms.copy())


DYNAMICS = {
    "nve": verlet,
    "nvt": lambda atoms: NVTBerendsen(
        atoms, 1.0 * units.fs, temperature_K=100, taut=50 * units.fs
    ),
    "npt": lambda atoms: NPTBerendsen(
        atoms,
        1.0 * units.fs,
        temperature_K=100,
        taut=50 * units.fs,
        pressure_au=0.01,
        taup=50 * units.fs,
        compressibility_au=1.0,
    ),
}


@pytest.mark.parametrize("kind", DYNAMICS)
def test_frames_are_those_of_ase_to_the_bit(kind: str) -> None:
    dyn = DYNAMICS[kind](argon())
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=4)
            kept = Kept(dyn)
            dyn.run(40)
        driver.join()
    (description,) = driver.descriptions
    assert description.engine.startswith("ASE 3.")
    assert (description.time_step, description.stride) == (1.0, 4)
    np.testing.assert_array_equal(description.masses, MASSES)
    assert driver.sent == kept.steps == list(range(0, 41, 4))
    for step, atoms in zip(kept.steps, kept.atoms, strict=True):
        frame = driver.frames[step]
        np.testing.assert_array_equal(frame.numbers, NUMBERS)
        np.testing.assert_array_equal(frame.positions, atoms.positions)
        np.testing.assert_array_equal(frame.cell, np.array(atoms.cell))
        expected = atoms.get_velocities() / FS_PER_ASE_TIME
        np.testing.assert_array_equal(frame.velocities, expected)
    moved = np.ptp([np.array(atoms.cell) for atoms in kept.atoms], axis=0).max()
    assert (moved > 1e-3) == (kind == "npt")


def test_velocities_are_of_the_instant_of_the_positions() -> None:
    """Velocity Verlet's own are central differences; half-step ones are not."""
    dyn = verlet(argon())
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=1)
            dyn.run(20)
        driver.join()
    x = np.array([driver.frames[step].positions for step in driver.steps])
    v = np.array([driver.frames[step].velocities for step in driver.steps])
    np.testing.assert_allclose((x[2:] - x[:-2]) / 2.0, v[1:-1], rtol=0, atol=1e-13)
    assert np.abs((x[1:-1] - x[:-2]) - v[1:-1]).max() > 1e-7


def test_a_constrained_atom_rests_and_a_molecule_is_not_repeated() -> None:
    atoms = argon()
    atoms.pbc = False
    atoms.set_constraint(FixAtoms([0]))
    dyn = Langevin(atoms, 1.0 * units.fs, temperature_K=100, friction=0.01, fixcm=False)
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=2)
            dyn.run(20)
        driver.join()
    for frame in driver.frames.values():
        assert frame.pbc == (False, False, False)
        np.testing.assert_array_equal(frame.positions[0], 0.0)
    assert np.abs(driver.frames[20].velocities[0]).max() == 0.0
    assert np.abs(driver.frames[20].velocities[1:]).max() > 0.0


def test_several_runs_are_one_series_and_no_frame_counts_twice() -> None:
    dyn = verlet(argon())
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=4)
            dyn.run(0)
            dyn.run(0)
            for steps in (10, 7, 23):
                dyn.run(steps)
                observer()  # as often as one likes
        driver.join()
    assert driver.sent == list(range(0, 41, 4))
    assert [driver.before[step] for step in driver.steps] == [-1, *range(0, 37, 4)]


def test_other_velocities_at_the_first_step_replace_its_frame() -> None:
    atoms = argon()
    dyn = verlet(atoms)
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=4)
            dyn.run(0)
            velocities = argon(seed=2).get_velocities()
            atoms.set_velocities(velocities)
            dyn.run(20)
        driver.join()
    assert driver.steps == list(range(0, 21, 4))
    expected = velocities / FS_PER_ASE_TIME
    np.testing.assert_allclose(driver.frames[0].velocities, expected, rtol=1e-14)
    assert driver.before[4] == 0


def test_a_run_taken_up_from_a_trajectory_is_a_rollback(tmp_path) -> None:
    """By another process, or by the same: the frame it begins with is the link."""
    path = str(tmp_path / "md.traj")
    dyn = verlet(argon())
    with PlayedDriver() as driver:
        observer = Observer(dyn, driver.endpoint)
        dyn.attach(observer, interval=4)
        with Trajectory(path, "w", dyn.atoms) as trajectory:
            dyn.attach(trajectory.write, interval=20)
            dyn.run(48)
        driver.wait_for(lambda: 48 in driver.frames)
        first = dict(driver.frames)
        observer.close()  # killed

        with Trajectory(path) as trajectory:
            again = trajectory[1]
        again.calc = LennardJones(epsilon=0.01, sigma=3.3, rc=8.0)
        dyn = verlet(again)
        with Observer(dyn, driver.endpoint) as observer:
            dyn.attach(observer, interval=4)
            dyn.nsteps = 20
            observer()
            dyn.run(40)
            same = {step: driver.frames[step] for step in (24, 48)}
            # And back once more, in the same process, another way from there on.
            again.set_positions(first[40].positions)
            again.set_velocities(1.1 * first[40].velocities * FS_PER_ASE_TIME)
            dyn.nsteps = 40
            observer()
            dyn.run(20)
        driver.join()
    assert driver.steps == list(range(0, 61, 4))
    assert len(driver.descriptions) == 3
    for step, frame in same.items():
        np.testing.assert_array_equal(frame.velocities, first[step].velocities)
    assert [driver.before[step] for step in driver.steps] == [
        *(-1, *range(0, 36, 4)),
        *(-1, *range(40, 57, 4)),
    ]
    assert (driver.frames[44].velocities != first[44].velocities).any()


def test_the_run_waits_for_a_driver_and_sends_again_what_was_not_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "ACK_PATIENCE", 0.3)
    dyn = verlet(argon())
    with PlayedDriver(pause=0.01) as driver:
        observer = Observer(dyn, driver.endpoint)
        dyn.attach(observer, interval=1)
        errors: list[BaseException] = []

        def run() -> None:
            try:
                with observer:
                    dyn.run(60)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        for step in (10, 30):
            driver.wait_for(lambda step=step: step in driver.frames)
            driver.come_back()
        driver.join()
        thread.join(60.0)
    assert errors == []
    assert driver.steps == list(range(61))
    assert [driver.before[step] for step in driver.steps] == list(range(-1, 60))


def test_a_step_longer_than_any_patience_is_no_reason_for_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Electronic structure: the confirmation waits while the engine calculates."""
    monkeypatch.setattr(window, "ACK_PATIENCE", 0.05)
    monkeypatch.setattr(window, "FIRST_PATIENCE", 30.0)  # for the WELCOME
    lines: list[str] = []
    dyn = verlet(argon())

    def calculate() -> None:
        driver.wait_for(lambda: dyn.nsteps in driver.frames)
        time.sleep(0.2)  # the confirmation is here, and waits

    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint, log=lines.append) as observer:
            dyn.attach(observer, interval=1)
            dyn.attach(calculate, 1)
            dyn.run(4)
            stream = observer._stream
            assert stream is not None
            assert stream._sender._backlog.window.n_sockets == 1  # type: ignore[union-attr]
        driver.join()
    assert driver.sent == [0, 1, 2, 3, 4]
    assert lines == []


def test_a_refusal_is_raised_with_its_reason() -> None:
    dyn = verlet(argon())
    with PlayedDriver(refuse="the model knows no argon") as driver:
        dyn.attach(Observer(dyn, driver.endpoint), interval=4)
        with pytest.raises(FrameError, match=r"refuses this run: the model knows no a"):
            dyn.run(20)
    assert dyn.nsteps == 0


@pytest.mark.parametrize("policy", ["stop", "abort", "drop"])
def test_policies_of_the_hook_hold_in_ase(policy: str) -> None:
    lines: list[str] = []
    dyn = verlet(argon())
    with PlayedDriver() as nobody:
        endpoint = f"{nobody.endpoint}-away"
        observer = Observer(
            dyn, endpoint, options=f"policy={policy} wait=0.2", log=lines.append
        )
        dyn.attach(observer, interval=4)
        if policy == "abort":
            with pytest.raises(EngineError, match=r"confirmed nothing for 0.2 s"):
                dyn.run(20)
        else:
            dyn.run(20)
            observer.finish()
    assert dyn.nsteps == {"stop": 0, "abort": 0, "drop": 20}[policy]
    assert ("6 frames were dropped" in lines) == (policy == "drop")
    assert not any("has all frames" in line for line in lines)


def test_late_trouble_lets_the_run_go_on_alone() -> None:
    lines: list[str] = []
    atoms = argon()
    dyn = verlet(atoms)
    with PlayedDriver() as driver:
        with Observer(dyn, driver.endpoint, log=lines.append) as observer:
            dyn.attach(observer, interval=4)
            dyn.run(20)
            atoms.numbers[0] = 10
            dyn.run(20)
        driver.join()
    assert driver.steps == list(range(0, 21, 4))
    assert dyn.nsteps == 40
    assert len(lines) == 2
    assert "step 24: the atoms are not those that the run began with" in lines[0]
    assert "The run goes on alone; its spectrum ends here." in lines[0]
    assert lines[1] == "step 28 and later ones are not streamed"


def test_an_observer_must_be_attached_once_to_a_dynamics() -> None:
    atoms = argon()
    with pytest.raises(SettingsError, match="BFGS has no time step"):
        Observer(BFGS(atoms), "ipc://nowhere")
    for intervals in ([], [4, 2], [-4]):
        dyn = verlet(atoms)
        observer = Observer(dyn, "ipc://nowhere")
        for interval in intervals:
            dyn.attach(observer, interval=interval)
        with pytest.raises(SettingsError, match="must be attached once, with an inter"):
            observer()


def test_several_ranks_with_the_same_atoms_are_one_engine() -> None:
    """As GPAW runs: the first rank sends, and what befalls it befalls all."""
    shared: dict[str, np.ndarray] = {}
    meeting = threading.Barrier(2)

    class World:
        size = 2

        def __init__(self, rank: int) -> None:
            self.rank = rank

        def broadcast(self, array: np.ndarray, root: int) -> None:
            if self.rank == root:
                shared["array"] = array.copy()
            meeting.wait(30.0)
            array[:] = shared["array"]
            meeting.wait(30.0)

    outcome: dict[int, object] = {}

    def run(rank: int, endpoint: str) -> None:
        dyn = verlet(argon())
        dyn.comm = World(rank)
        try:
            with Observer(dyn, endpoint) as observer:
                dyn.attach(observer, interval=4)
                dyn.run(20)
            outcome[rank] = dyn.nsteps
        except FrameError as error:
            outcome[rank] = str(error)

    for refuse, expected in (
        ("", {0: 20, 1: 20}),
        (
            "no",
            {
                0: "The driver refuses this run: no",
                1: "The first rank cannot stream; its own error says why.",
            },
        ),
    ):
        with PlayedDriver(refuse=refuse) as driver:
            threads = [
                threading.Thread(target=run, args=(rank, driver.endpoint))
                for rank in (0, 1)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60.0)
        assert outcome == expected
        assert driver.sent == ([] if refuse else list(range(0, 21, 4)))


ONE_LINE = """
import sys
sys.path.insert(0, {folder!r})
from mimyria_driver.lammps import window
window.FIRST_PATIENCE = 30.0  # no line about waiting, on any machine
from test_observers import Observer, argon, verlet
dyn = verlet(argon())
dyn.attach(Observer(dyn, {endpoint!r}), interval=4)
dyn.run(20)
{last}
"""


@pytest.mark.parametrize("last", ["", "raise ValueError('mine')"])
def test_the_end_of_a_script_ends_the_run_and_its_failure_does_not(last: str) -> None:
    with PlayedDriver() as driver:
        folder = str(Path(__file__).parent)
        text = ONE_LINE.format(folder=folder, endpoint=driver.endpoint, last=last)
        done = subprocess.run(
            [sys.executable, "-c", text],
            stderr=subprocess.PIPE,
            timeout=100,
            check=False,
        )
        assert done.returncode == (1 if last else 0), done.stderr.decode()
        if last:
            driver.come_back()
            assert not driver._ended
        else:
            assert driver.join().steps == list(range(0, 21, 4))
            assert done.stderr == b""


# -- any loop ------------------------------------------------------------------------


def frame_at(step: int, **changes: object) -> Frame:
    """Atoms that move by their velocities, 1 fs a step."""
    velocities = np.full((4, 3), 1e-3) * [[1], [-1], [2], [-2]]
    velocities = velocities * (1 + 1e-4 * step)
    positions = np.arange(12.0).reshape(4, 3) + step * velocities
    values = {
        "numbers": NUMBERS,
        "positions": positions,
        "cell": CELL,
        "velocities": velocities,
        "step": step,
    }
    return Frame(**{**values, **changes})  # type: ignore[arg-type]


def test_any_loop_can_stream_frames() -> None:
    with PlayedDriver() as driver:
        with Stream(driver.endpoint, MASSES, 1.0, 2, engine="mine 1") as stream:
            for step in range(0, 21, 2):
                stream.send(frame_at(step))
        driver.join()
    assert driver.steps == list(range(0, 21, 2))
    assert driver.descriptions[0].engine == "mine 1"


def test_hydrogen_with_the_mass_of_deuterium_is_deuterium() -> None:
    numbers, masses = np.array([8, 1, 1, 18]), np.array([15.999, 1.008, 2.014, 39.948])
    with PlayedDriver() as driver:
        with Stream(driver.endpoint, masses, 1.0, 2) as stream:
            stream.send(frame_at(0, numbers=numbers))
        driver.join()
    np.testing.assert_array_equal(driver.descriptions[0].numbers, numbers)
    np.testing.assert_array_equal(driver.descriptions[0].masses, masses)


def test_a_mass_that_is_not_that_of_the_element_is_refused() -> None:
    """Repartitioned masses would move every line."""
    masses = MASSES + np.array([0.0, 3.0, 0.0, 3.0])
    with (
        PlayedDriver() as driver,
        Stream(driver.endpoint, masses, 1.0, 2) as stream,
        pytest.raises(FrameError, match=r"mass 23\.1797, but Ne has 20\.180 amu"),
    ):
        stream.send(frame_at(0))


@pytest.mark.parametrize(
    ("time_step", "factor", "says"),
    [
        (1e-3, 1.0, "1e.03 times as far"),
        (1.0, 10.18, r"0\.0982 times as far"),
        (1.0, 1e-3, "1e.03 times as far"),
    ],
)
def test_units_that_do_not_fit_the_way_of_the_atoms_are_refused(
    time_step: float, factor: float, says: str
) -> None:
    with (
        PlayedDriver() as driver,
        Stream(driver.endpoint, MASSES, time_step, 2) as stream,
    ):
        frames = [frame_at(step) for step in (0, 2)]
        stream.send(frame_at(0, velocities=factor * frames[0].velocities))
        with pytest.raises(FrameError, match=f"step 2: .*{says}"):
            stream.send(frame_at(2, velocities=factor * frames[1].velocities))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cell": np.zeros((3, 3))}, "has no volume. A molecule in vacuum needs a"),
        ({"velocities": None}, "step 0: a frame needs velocities"),
        ({"positions": np.full((4, 3), np.nan)}, "positions must be finite"),
        ({"numbers": np.array([18, 0, 18, 10])}, r"atomic numbers are \[0, 10, 18\]"),
    ],
)
def test_a_frame_that_makes_no_spectrum_is_refused(changes: dict, says: str) -> None:
    with Stream("ipc://nowhere", MASSES, 1.0, 2) as stream:
        with pytest.raises(FrameError, match=says):
            stream.send(frame_at(0, **changes))
        with pytest.raises(ShapeError, match="velocities must have the shape"):
            frame_at(0, velocities=np.zeros((3, 3)))


def test_settings_that_make_no_stream_are_refused() -> None:
    for arguments, says in (
        (("", MASSES, 1.0, 2), "needs the address of its driver"),
        (("ipc://x", MASSES, 0.0, 2), "must be above zero, but are 0.0 fs and 2"),
        (("ipc://{replica}", MASSES, 1.0, 2), "needs the number of this replica"),
    ):
        with pytest.raises(SettingsError, match=says):
            Stream(*arguments)
    with pytest.raises(SettingsError, match="must be one of block"):
        Stream("ipc://x", MASSES, 1.0, 2, options="policy=wait")
    with (
        Stream("ipc://x", MASSES[:3], 1.0, 2) as stream,
        pytest.raises(FrameError, match="was made for 3 atoms, but step 0 has 4"),
    ):
        stream.send(frame_at(0))
