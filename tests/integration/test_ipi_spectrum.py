"""One long run of the real i-PI in wells that are harmonic: what is known exactly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mimyria.correlators import Correlator
from mimyria.currents import dipole_velocity
from mimyria.spectra import ir_absorption, window_for_resolution
from mimyria.spectra.integrator import observed_wavenumber
from mimyria.units import (
    ANGSTROM_PER_IPI_BOHR,
    DIPOLE_CORRELATION_UNIT,
    FS_PER_IPI_TIME,
    IR_CONSTANT,
    SPEED_OF_LIGHT,
)
from mimyria_driver.sources import Arrived
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    DT,
    NUMBERS,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    read_bin,
    start_ipi,
)

pytestmark = pytest.mark.engine

STEPS = 1000
CHARGES = np.where(NUMBERS == 8, -0.8, 0.4)
STIFFNESS = 0.5
"""Atomic units, of every atom."""
MASS_UNIT = 1822.8885
"""Electron masses in an amu, as i-PI has it."""
MASSES = {8: 15.9994, 1: 1.00794}
TEMPERATURE = 300.0
_TRAJECTORY = "<trajectory filename='{}' flush='100' {}> {} </trajectory>"
OUTPUTS = "\n".join(
    _TRAJECTORY.format(*each)
    for each in (
        ("pos", "format='bin'", "positions"),
        ("audit", "extra_type='seq'", "extras_component_raw(1)"),
        ("all", "extra_type='mimyria, seq, rid'", "extras"),
    )
)


@dataclass(frozen=True)
class Run:
    """What came of it, and what i-PI printed."""

    frames: list[Arrived]
    n_foreign: int
    positions: np.ndarray  # (STEPS + 1, 9, 3) Å
    folder: Path


@pytest.fixture(scope="module")
def run(ipi_program: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name)
        text = ipi_input(OUTPUTS, steps=STEPS, fixcom="<fixcom>False</fixcom>")
        process = start_ipi(ipi_program, folder, text, init_xyz("False", 0.1))
        source, collected = client(folder, folder=folder / "run"), Collected()
        collect(source, collected)
        finish(process)
        source.close()
        _, positions = read_bin(folder / "o.pos_0.bin", STEPS + 1)
        yield Run(
            collected.frames,
            source.n_foreign,
            positions * ANGSTROM_PER_IPI_BOHR,
            folder,
        )


def printed(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps of i-PI and what it printed of the extra strings."""
    lines = path.read_text().splitlines()
    steps = [int(line.split("Step:")[1].split()[0]) for line in lines[::2]]
    return np.array(steps), np.array([line.split() for line in lines[1::2]], float)


def test_ipi_prints_our_step_beside_its_own(run: Run) -> None:
    """The audit trail of docs/engines.md: every step was asked for once, in order."""
    steps, seq = printed(run.folder / "o.audit")
    np.testing.assert_array_equal(steps, np.arange(STEPS + 1))
    np.testing.assert_array_equal(seq[:, 0], steps)
    assert run.n_foreign == 0
    assert [each.frame.step for each in run.frames] == list(range(1, STEPS))


def test_the_same_keys_are_in_every_reply(run: Run) -> None:
    """Else i-PI would have stopped; merged with those of other force clients."""
    steps, values = printed(run.folder / "o.all_0")
    assert len(steps) == STEPS + 1
    np.testing.assert_array_equal(values[:, 0], 1)
    np.testing.assert_array_equal(values[:, 1], steps)
    np.testing.assert_array_equal(values[:, 2], 1)  # the bead of the second component


def dipole_velocities(run: Run) -> np.ndarray:
    """(STEPS - 1, 3) e Å/fs, of point charges."""
    apt = CHARGES[:, None, None] * np.eye(3)
    return np.array(
        [dipole_velocity(apt, each.frame.velocities) for each in run.frames]
    )


def test_the_sum_of_the_currents_is_the_change_of_the_dipole(run: Run) -> None:
    """Between half steps, at any two times: Σ J(n) Δt = M(b + ½) − M(a − ½)."""
    dipoles = np.einsum("i,tia->ta", CHARGES, run.positions)
    at_half = 0.5 * (dipoles[1:] + dipoles[:-1])
    sums = np.cumsum(dipole_velocities(run), axis=0) * DT
    assert np.abs(at_half).max() > 0.05
    np.testing.assert_allclose(sums, at_half[1:] - at_half[0], atol=1e-13)


def lines_of(run: Run) -> dict[int, tuple[float, float]]:
    """Wavenumber in cm⁻¹ and mean square of the dipole velocity of each element.

    Velocity Verlet in a well is a cosine of the frequency sin(Ω Δt/2) = ω Δt/2; its
    amplitude follows from the positions of i-PI by least squares.
    """
    times = DT * np.arange(STEPS + 1)
    dipoles = np.einsum("i,tia->ta", CHARGES, run.positions)
    columns, omegas = [], {}
    for element, mass in MASSES.items():
        free = np.sqrt(STIFFNESS / (mass * MASS_UNIT)) / FS_PER_IPI_TIME
        omegas[element] = 2 / DT * np.arcsin(free * DT / 2)
        columns += [np.cos(omegas[element] * times), np.sin(omegas[element] * times)]
    found, rest, *_ = np.linalg.lstsq(np.array(columns).T, dipoles, rcond=None)
    assert rest.max() < 1e-20 * len(times)  # nothing else moves
    lines = {}
    for element, pair in zip(MASSES, (found[:2], found[2:]), strict=True):
        omega = omegas[element]
        # The derivative of the path, and what Verlet's velocities are of it.
        cosine, sine = pair * omega * np.sinc(omega * DT / np.pi)
        moving = np.outer(np.cos(omega * times), sine)
        moving -= np.outer(np.sin(omega * times), cosine)
        free = np.sqrt(STIFFNESS / (MASSES[element] * MASS_UNIT)) / FS_PER_IPI_TIME
        nu = free / (2 * np.pi * SPEED_OF_LIGHT)
        lines[element] = nu, float((moving[1:-1] ** 2).sum(axis=1).mean())
    return lines


def test_lines_stand_where_they_must_and_have_their_area(run: Run) -> None:
    """∫ αn dν = K_IR <J²> / (2 c V T) of each line, with its sin(Ω Δt)/(Ω Δt)."""
    correlator = Correlator(
        3, 700, DT, DIPOLE_CORRELATION_UNIT, ((0, 0), (1, 1), (2, 2))
    )
    correlator.push(dipole_velocities(run))
    correlation = correlator.result()
    volume = run.frames[0].frame.volume
    window = window_for_resolution("gaussian", 150.0, correlation.n_lags, DT)
    spectrum = ir_absorption(
        correlation,
        volume=volume,
        temperature=TEMPERATURE,
        window=window,
        spacing=1.0,
    )
    for nu, square in lines_of(run).values():
        place = observed_wavenumber(nu, DT)
        band = spectrum.between(place - 500, place + 500)
        peak = band.wavenumbers[int(np.argmax(band.intensity))]
        assert peak == pytest.approx(place, abs=1.0)
        area = np.trapezoid(band.intensity, band.wavenumbers)
        wanted = IR_CONSTANT * square / (2 * SPEED_OF_LIGHT * volume * TEMPERATURE)
        # In half a ps the lines are not quite independent: 0.7 %.
        assert area == pytest.approx(wanted, rel=0.01)
    hydrogen = lines_of(run)[1][0]
    # What would be found wrong: Verlet's shift, and the factor that is left away.
    assert observed_wavenumber(hydrogen, DT) - hydrogen > 15.0
    assert np.sinc(2 * SPEED_OF_LIGHT * hydrogen * DT) ** 2 < 0.97
