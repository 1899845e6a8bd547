"""Real i-PI with molecules in a cavity: its forces and its dipole are ours."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria.units import ANGSTROM_PER_IPI_BOHR
from mimyria_driver.driven.way import Way
from tests.integration.driven_input import (
    ELEMENTS,
    cavity_input,
    exact_dipole,
    write_run,
)
from tests.integration.driven_runs import (
    NUMBERS,
    TIMEOUT,
    cell_of_run,
    driven,
    read_bin,
    source_of,
    start_ipi,
)

pytestmark = pytest.mark.engine

KEYS = ("dipole", "dipole_derivative")
COUPLING, PHOTON = 5e-3, 0.0155
STEPS = 40
START = (0.3, -0.2, 0.1)  # e Å
OUTPUTS = """\
  <properties filename='energy'> [ time, kinetic_md, potential ] </properties>
  <trajectory filename='pos' stride='1' format='bin'> positions </trajectory>
  <trajectory filename='dip' stride='1' extra_type='dipole'> extras </trajectory>
  <trajectory filename='force' stride='1' format='bin'> forces </trajectory>
  <checkpoint stride='10' filename='chk' overwrite='True'/>"""


def split(path: Path, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Atoms (n_frames, 9, 3) and photons (n_frames, 2, 3) in atomic units."""
    values = read_bin(path, steps + 1, photons=2)
    return values[:, : len(ELEMENTS)], values[:, len(ELEMENTS) :]


def dipoles_of(folder: Path) -> np.ndarray:
    """(n_frames, 3) e bohr, as i-PI printed them."""
    return np.loadtxt(folder / "o.dip_0", comments="#")


@pytest.fixture(scope="module")
def quiet(ipi_program: str) -> Iterator[Path]:
    """An undisturbed run."""
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name)
        text = cavity_input(OUTPUTS, steps=STEPS)
        way = Way(folder / "way", len(ELEMENTS), np.array(START))
        driven(ipi_program, folder, text, KEYS, way=way, photons=2)
        way.close()
        yield folder


def test_forces_are_those_of_our_tensors(quiet: Path) -> None:
    dipoles = dipoles_of(quiet)
    atoms, photons = split(quiet / "o.pos_0.bin")
    forces, on_photons = split(quiet / "o.force_0.bin")
    forces = forces + 0.5 * atoms  # without the wells
    cell, source = cell_of_run(), source_of(quiet)
    for step, positions in enumerate(atoms * ANGSTROM_PER_IPI_BOHR):
        (tensors,) = source.predict([Frame(NUMBERS, positions, cell, None, step)])
        apt = tensors.apt - tensors.apt.mean(axis=0)
        # Two modes, along x and y; the photons have the mass 1.
        q = np.array([photons[step, 0, 0], photons[step, 1, 1]])
        pull = COUPLING * q + COUPLING**2 / PHOTON**2 * dipoles[step, :2]
        wanted = -np.einsum("a,iab->ib", pull, apt[:, :2])
        np.testing.assert_allclose(forces[step], wanted, atol=1e-14)
        transposed = -np.einsum("a,iba->ib", pull, apt[:, :, :2])
        assert np.abs(transposed - wanted).max() > 1e-3 * np.abs(wanted).max()
        light = -(PHOTON**2) * photons[step]
        light[[0, 1], [0, 1]] -= COUPLING * dipoles[step, :2]
        np.testing.assert_allclose(on_photons[step], light, atol=1e-14)


def test_the_dipole_is_the_known_one_from_its_first_value_on(quiet: Path) -> None:
    """To rounding: the rule of the way is exact where M is a parabola."""
    atoms, _ = split(quiet / "o.pos_0.bin")
    exact = np.array([exact_dipole(each * ANGSTROM_PER_IPI_BOHR) for each in atoms])
    wanted = (exact - exact[0] + START) / ANGSTROM_PER_IPI_BOHR
    assert np.ptp(exact, axis=0).min() > 0.1
    np.testing.assert_allclose(dipoles_of(quiet), wanted, atol=1e-13)


def test_the_energy_of_molecules_and_light_is_conserved(quiet: Path) -> None:
    """As well as velocity Verlet does in the wells; forces and dipole fit together."""
    _, kinetic, potential = np.loadtxt(quiet / "o.energy").T
    atoms, _ = split(quiet / "o.pos_0.bin")
    light = potential - 0.25 * (atoms**2).sum(axis=(1, 2))
    assert np.ptp(light) > 0.02
    assert np.ptp(kinetic + potential) < 0.02 * np.ptp(potential)


def command(folder: Path) -> subprocess.Popen[bytes]:
    """The client as users start it."""
    arguments = ["python:bent_apt:make", "--address", f"unix:{folder}/bec"]
    arguments += ["--elements", *ELEMENTS, "--device", "cpu", "--keys", *KEYS]
    arguments += ["--folder", "way", "--start", *map(str, START)]
    with (folder / "bec.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mimyria_driver", "bec", *arguments],
            cwd=folder,
            stderr=log,
        )


def wait_for_steps(folder: Path, n_steps: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    path = folder / "o.dip_0"
    while not path.exists() or path.read_text().count("#EXTRAS") <= n_steps:
        assert time.monotonic() < deadline, (folder / "ipi.log").read_text()
        time.sleep(0.01)


def same_end(folder: Path, quiet: Path) -> None:
    """The last configuration and the last dipole, to the bit."""
    np.testing.assert_array_equal(dipoles_of(folder)[-1], dipoles_of(quiet)[-1])
    size = (quiet / "o.pos_0.bin").stat().st_size // (STEPS + 1)
    last = [(each / "o.pos_0.bin").read_bytes()[-size:] for each in (folder, quiet)]
    assert last[0] == last[1]


@pytest.mark.slow
def test_a_client_that_is_killed_goes_on_with_its_dipole(
    ipi_program: str, short_directory: Path, quiet: Path
) -> None:
    text = cavity_input(OUTPUTS, steps=STEPS, latency=0.05)
    write_run(short_directory, text, photons=2)
    engine = start_ipi(ipi_program, short_directory)
    client = command(short_directory)
    try:
        wait_for_steps(short_directory, 15)
        assert engine.poll() is None
        client.kill()
        client.wait(TIMEOUT)
        client = command(short_directory)
        assert client.wait(TIMEOUT) == 0, (short_directory / "bec.log").read_text()
        assert engine.wait(TIMEOUT) == 0
    finally:
        for process in (engine, client):
            process.kill()
            process.wait(TIMEOUT)
    np.testing.assert_array_equal(dipoles_of(short_directory), dipoles_of(quiet))
    same_end(short_directory, quiet)


@pytest.mark.slow
def test_an_ipi_that_goes_back_to_a_checkpoint_gets_the_dipole_that_it_had(
    ipi_program: str, short_directory: Path, quiet: Path
) -> None:
    text = cavity_input(OUTPUTS, steps=STEPS, latency=0.05)
    write_run(short_directory, text, photons=2)
    engine = start_ipi(ipi_program, short_directory)
    client = command(short_directory)
    try:
        wait_for_steps(short_directory, 17)
        assert engine.poll() is None
        engine.kill()
        engine.wait(TIMEOUT)
        (short_directory / "o.chk").rename(short_directory / "begin.xml")
        (short_directory / "bec").unlink()  # the socket of the dead i-PI
        engine = start_ipi(ipi_program, short_directory, "begin.xml")
        assert client.wait(TIMEOUT) == 0, (short_directory / "bec.log").read_text()
        assert engine.wait(TIMEOUT) == 0
    finally:
        for process in (engine, client):
            process.kill()
            process.wait(TIMEOUT)
    same_end(short_directory, quiet)


def test_a_signal_ends_the_command_with_75(
    ipi_program: str, short_directory: Path
) -> None:
    write_run(short_directory, cavity_input(OUTPUTS), photons=2)
    client = command(short_directory)  # and no i-PI, for which it waits
    deadline = time.monotonic() + TIMEOUT
    while not (short_directory / "way").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    client.send_signal(signal.SIGTERM)
    assert client.wait(TIMEOUT) == 75
