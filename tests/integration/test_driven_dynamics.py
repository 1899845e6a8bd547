"""Real i-PI driven by our tensors: forces of a field, its work, models that fail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ipi.utils.units import Elements

from mimyria.errors import EvaluatorError
from mimyria.frame import Frame
from mimyria.models import load_model
from mimyria.tensors import Tensors
from mimyria.tensorsources import Predictor
from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.driven import answers as answers_module
from mimyria_driver.driven.answers import Answers
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.sources import Ended, Started
from tests.integration.driven_input import (
    ELEMENTS,
    driven_input,
    exact_apt,
    write_run,
)
from tests.integration.driven_runs import (
    NUMBERS,
    TIMEOUT,
    cell_of_run,
    driven,
    read_bin,
    serve,
    source_of,
    start_ipi,
)

pytestmark = pytest.mark.engine

THERMOSTAT = """
    <thermostat mode='langevin'><tau units='femtosecond'> 50 </tau></thermostat>"""
FIELD = np.array([0.02, -0.01, 0.015])

OUTPUTS = """\
  <properties filename='energy'> [ time, kinetic_md, potential ] </properties>
  <trajectory filename='pos' stride='1' format='bin'> positions </trajectory>
  <trajectory filename='vel' stride='1' format='bin'> velocities </trajectory>
  <trajectory filename='pull' stride='1' format='bin'> Eforces </trajectory>
  <trajectory filename='bec' extra_type='BEC'> extras </trajectory>"""


def field_at(times: np.ndarray, frequency: float = 0.016) -> np.ndarray:
    """E(t) of `driven_input`, (n, 3) in atomic units."""
    peak, sigma = 10.0 / FS_PER_IPI_TIME, 5.0 / FS_PER_IPI_TIME
    envelope = np.exp(-0.5 * ((times - peak) / sigma) ** 2)
    return np.outer(envelope * np.cos(frequency * times + 0.3), FIELD)


class Printed:
    """What a run of `steps` has printed, atomic units."""

    def __init__(self, folder: Path, steps: int, bead: str = "0") -> None:
        self.times, self.kinetic, self.potential = np.loadtxt(folder / "o.energy").T
        n_frames = steps + 1
        self.positions = read_bin(folder / f"o.pos_{bead}.bin", n_frames)
        self.velocities = read_bin(folder / f"o.vel_{bead}.bin", n_frames)
        self.pull = read_bin(folder / f"o.pull_{bead}.bin", n_frames)

    def tensors(self, source: Predictor) -> np.ndarray:
        """(n_frames, n_atoms, 3, 3) e — as the model gives them, the mean taken off."""
        cell = cell_of_run()
        frames = [
            Frame(NUMBERS, each * ANGSTROM_PER_IPI_BOHR, cell, None, step)
            for step, each in enumerate(self.positions)
        ]
        apt = np.array([source.predict([frame])[0].apt for frame in frames])
        return apt - apt.mean(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"consolidate": "False"},
        {"mode": "eda-nvt", "thermostat": THERMOSTAT, "nbeads": 2},
    ],
    ids=["nve", "legacy", "nvt-beads"],
)
def test_forces_of_the_field_are_those_of_our_tensors(
    ipi_program: str, short_directory: Path, changes: dict[str, object]
) -> None:
    answers = driven(ipi_program, short_directory, driven_input(OUTPUTS, **changes))
    assert answers.n_answered == 41 * int(str(changes.get("nbeads", 1)))
    printed = Printed(short_directory, 40)
    apt = printed.tensors(source_of(short_directory))
    field = field_at(printed.times)
    wanted = np.einsum("tiab,ta->tib", apt, field)
    size = np.abs(printed.pull).max()
    assert size > 0.01
    assert np.abs(printed.pull - wanted).max() < 1e-15 * size
    # The tensors are not symmetric: transposed ones would give other forces.
    transposed = np.einsum("tiab,tb->tia", apt, field)
    assert np.abs(printed.pull - transposed).max() > 0.01 * size
    said = np.loadtxt(short_directory / "o.bec_0").reshape(-1, len(ELEMENTS), 3, 3)
    np.testing.assert_allclose(said, apt.transpose(0, 1, 3, 2), rtol=1e-15)
    # And they are the derivative of a dipole that is known in closed form.
    for here, there in zip(apt, printed.positions, strict=True):
        exact = exact_apt(there * ANGSTROM_PER_IPI_BOHR)
        np.testing.assert_allclose(here, exact, atol=1e-10)


@pytest.mark.slow
def test_forces_by_the_shipped_model_are_those_of_its_tensors(
    ipi_program: str, short_directory: Path
) -> None:
    model = load_model("water-compact-apt")
    driven(ipi_program, short_directory, driven_input(OUTPUTS, steps=10), source=model)
    printed = Printed(short_directory, 10)
    apt = printed.tensors(load_model("water-compact-apt"))
    wanted = np.einsum("tiab,ta->tib", apt, field_at(printed.times))
    # The network computes in single precision, but the same configuration twice.
    assert np.abs(printed.pull - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_the_field_does_the_work_that_the_energy_gains(
    ipi_program: str, short_directory: Path
) -> None:
    """To rounding, with the energy that velocity Verlet conserves in a harmonic well.

    A half kick by F does the work F·(v + v')/2 Δt/2; between two of them the dynamics
    keeps p²/2m + ½ k x² (1 − k Δt²/4m) exactly.
    """
    driven(ipi_program, short_directory, driven_input(OUTPUTS))
    printed = Printed(short_directory, 40)
    apt = printed.tensors(source_of(short_directory))
    pull = np.einsum("tiab,ta->tib", apt, field_at(printed.times))
    masses = np.array([Elements.mass(each) for each in ELEMENTS])[:, None]
    dt, k = np.diff(printed.times).mean(), 0.5
    kinetic = 0.5 * masses * printed.velocities**2
    well = 0.5 * k * printed.positions**2 * (1 - k * dt**2 / (4 * masses))
    energy = (kinetic + well).sum(axis=(1, 2))
    drift = 0.5 * dt * pull * printed.velocities
    second = dt**2 / 8 * pull**2 / masses
    work = ((drift + second)[:-1] + (drift - second)[1:]).sum(axis=(1, 2))
    assert np.abs(work).max() > 1e-4
    assert np.abs(np.diff(energy) - work).max() < 1e-14


def gain_and_work(ipi: str, folder: Path, dt: float) -> tuple[float, float]:
    """Of 40 fs: change of the total energy, and ∫ E·Σ P v dt, hartree."""
    folder.mkdir()
    steps = round(40.0 / dt)
    resonant = 0.0053  # of hydrogen in its well
    changes = {"dt": dt, "steps": steps, "k": 0.05, "frequency": resonant}
    driven(ipi, folder, driven_input(OUTPUTS, **changes))
    printed = Printed(folder, steps)
    apt = printed.tensors(source_of(folder))
    currents = np.einsum("tiab,tib->ta", apt, printed.velocities)
    power = (field_at(printed.times, resonant) * currents).sum(axis=1)
    work = float(np.trapezoid(power, printed.times))
    total = printed.kinetic + printed.potential
    return total[-1] - total[0], work


@pytest.mark.slow
def test_the_integral_of_the_power_is_the_gain_of_the_total_energy(
    ipi_program: str, short_directory: Path
) -> None:
    """Both are wrong by Δt²; what is left for Δt → 0 is below 1e-6 of the work."""
    off = []
    for dt in (0.2, 0.1):
        gain, work = gain_and_work(ipi_program, short_directory / str(dt), dt)
        off.append(gain - work)
    assert abs(work) > 1e-3
    assert abs(off[1]) < 1e-6  # hartree, at 0.1 fs
    assert off[0] / off[1] == pytest.approx(4.0, rel=0.05)
    assert abs(4 * off[1] - off[0]) / 3 < 1e-6 * abs(work)


def test_tensors_that_do_not_add_up_to_zero_end_a_run_of_ipi(
    ipi_program: str, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the mean is taken off: the model that all other tests use has one."""
    monkeypatch.setattr(answers_module, "mean_removed", lambda apt: apt)
    write_run(short_directory, driven_input(OUTPUTS))
    process = start_ipi(ipi_program, short_directory)
    answers = Answers(source_of(short_directory), NUMBERS, ["BEC"])
    serve(short_directory, answers, lambda: process.poll() is not None)
    assert process.wait(TIMEOUT) != 0
    log = (short_directory / "ipi.log").read_text()
    assert "BEC tensors do not satisfy acoustic sum rule" in log


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["nan", "raises"])
def test_a_model_that_fails_leaves_the_request_to_the_next_client(
    ipi_program: str, short_directory: Path, fault: str
) -> None:
    """i-PI sees no number of it, and the run is that of a model that never fails."""
    quiet, hurt = short_directory / "quiet", short_directory / "hurt"
    for folder in (quiet, hurt):
        folder.mkdir()
    driven(ipi_program, quiet, driven_input(OUTPUTS, steps=20))
    write_run(hurt, driven_input(OUTPUTS, steps=20))
    process = start_ipi(ipi_program, hurt)
    words = {"nan": "not finite, first for atom 0", "raises": "RuntimeError: planted"}
    try:
        failing = Answers(source_of(hurt, fault), NUMBERS, ["BEC"])
        with pytest.raises(EvaluatorError, match=words[fault]):
            serve(hurt, failing)
        assert failing.n_answered == 7
        assert process.poll() is None
        second = Answers(source_of(hurt), NUMBERS, ["BEC"])
        assert serve(hurt, second)
        assert second.n_answered == 21 - 7
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait(TIMEOUT)
    for name in ("o.pos_0.bin", "o.pull_0.bin"):
        assert (hurt / name).read_bytes() == (quiet / name).read_bytes()


class Dozing:
    """A source that once takes longer than i-PI waits."""

    def __init__(self, source: Predictor) -> None:
        self.metadata, self._source, self.n_asked = source.metadata, source, 0

    def predict(self, frames: Sequence[Frame]) -> list[Tensors]:
        self.n_asked += 1
        if self.n_asked == 6:
            time.sleep(2.5)
        return self._source.predict(frames)


@pytest.mark.slow
def test_a_model_slower_than_the_timeout_is_asked_the_same_again(
    ipi_program: str, short_directory: Path
) -> None:
    """i-PI says EXIT, which is no end, and takes no answer that comes too late."""
    text = driven_input(OUTPUTS, steps=20).replace(
        "<latency>", "<timeout>1</timeout><latency>"
    )
    write_run(short_directory, text)
    dozing = Dozing(source_of(short_directory))
    answers = driven(ipi_program, short_directory, text, source=dozing)
    assert "Timeout!" in (short_directory / "ipi.log").read_text()
    assert answers.n_answered == 21 + 1
    printed = Printed(short_directory, 20)
    apt = printed.tensors(source_of(short_directory))
    wanted = np.einsum("tiab,ta->tib", apt, field_at(printed.times))
    assert np.abs(printed.pull - wanted).max() < 1e-15 * np.abs(printed.pull).max()


def test_velocities_for_spectra_beside_a_field_are_those_that_ipi_prints(
    ipi_program: str, short_directory: Path
) -> None:
    """Two sockets: one client drives, the other one watches; neither sees the other."""
    more = """
 <ffsocket name='watch' mode='unix' pbc='False'>
  <address>watch</address><latency>1e-4</latency>
 </ffsocket>"""
    forces = "<force forcefield='watch'/>"
    watcher = IpiClient(
        f"unix:{short_directory}/watch", NUMBERS, np.ones(len(NUMBERS)), 0.5, 1
    )
    frames: list[Frame] = []

    def watch() -> None:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            for event in watcher.receive():
                if isinstance(event, Started):
                    watcher.accept(-1)
                elif isinstance(event, Ended):
                    return
                else:
                    frames.append(event.frame)
            time.sleep(0.001)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        text = driven_input(OUTPUTS, more=more, forces=forces)
        driven(ipi_program, short_directory, text)
        watching.result(TIMEOUT)
    watcher.close()
    printed = Printed(short_directory, 40)
    unit = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
    assert [frame.step for frame in frames] == list(range(1, 40))
    for frame in frames:
        wanted = printed.velocities[frame.step] * unit
        np.testing.assert_allclose(frame.velocities, wanted, atol=1e-13)
