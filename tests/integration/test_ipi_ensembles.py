"""What velocities from positions are worth, under each integrator of the real i-PI.

The client makes velocities from positions; i-PI prints those it has. Differences are
relative to thermal velocities √(kT/m). Where the integrator adds noise between the
positions, its size is known; elsewhere the numbers are those of docs/engines.md.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    DT,
    MASSES,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    read_bin,
)

pytestmark = pytest.mark.engine

STEPS = 200
SPREAD = 0.023
"""Å, of atoms in wells of 0.5 atomic units at 300 K."""
KT = 8.314462618e-7 * 300.0
"""amu Å² fs⁻²."""
COORDINATES = 27
FREE = COORDINATES - 3
"""The centre of mass is at rest."""
_UNIT = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME

CENTROID: dict[str, object] = {"nbeads": 4, "driver_beads": " nbeads='1'"}
BEAD: dict[str, object] = {"nbeads": 4}
BAOAB: dict[str, object] = {"splitting": " splitting='baoab'"}
OUTER: dict[str, object] = {
    "levels": "<nmts> [1, 4] </nmts>",
    "well_level": "<mts_weights> [0, 1] </mts_weights>",
    "driver_level": "<mts_weights> [1, 0] </mts_weights>",
}


def thermostat(mode: str, tau: float) -> dict[str, object]:
    """NVT, with tau in fs."""
    friction = "<pile_lambda> 0.5 </pile_lambda>" if mode == "pile_g" else ""
    return {
        "ensemble": "nvt",
        "bath": f"<thermostat mode='{mode}'><tau units='femtosecond'> {tau} </tau>"
        f"{friction}</thermostat>",
    }


def barostat(ensemble: str, mode: str, more: str, pressure: str) -> dict[str, object]:
    """Nothing holds the cell together: the pressure of 300 K drives it apart."""
    return {
        "ensemble": ensemble,
        "bath": f"<barostat mode='{mode}'><tau units='femtosecond'> 50 </tau>"
        "<thermostat mode='langevin'><tau units='femtosecond'> 100 </tau></thermostat>"
        f"{more}</barostat><thermostat mode='svr'><tau units='femtosecond'> 1e9 </tau>"
        "</thermostat>",
        "pressure": pressure,
    }


NPT = barostat("npt", "isotropic", "", "<pressure units='gigapascal'> 0 </pressure>")
NST = barostat(
    "nst",
    "anisotropic",
    "<h0> [40, 0, 0, 0, 40, 0, 0, 0, 40] </h0>",
    "<stress units='gigapascal'> [0, 0, 0, 0, 0, 0, 0, 0, 0] </stress>",
)


def langevin_noise(tau: float) -> float:
    """Of half of O₂ − O₁ of the next step; each adds (1 − e^(−dt/tau)) kT/m to ⟨v²⟩."""
    free = np.sqrt(FREE / COORDINATES)
    return float(np.sqrt((1 - np.exp(-DT / tau)) / 2) * free)


def svr_noise(tau: float) -> float:
    """The same, where O scales all velocities: δv/v = √(dt / 2 tau N)."""
    free = np.sqrt(FREE / COORDINATES)
    return float(np.sqrt(DT / (4 * tau * FREE)) * free)


@dataclass(frozen=True)
class Compared:
    """Relative differences to the velocities of i-PI, rms."""

    client: float
    with_cell: float  # central differences with the motion of the cell in them
    backward: float
    change_of_volume: float
    n_foreign: int


def compare(
    ipi: str, directory: Path, changes: dict[str, object], more: str = ""
) -> Compared:
    """Run i-PI with the client, and compare all velocities with the printed ones."""
    n_beads = int(str(changes.get("nbeads", 1)))
    centroid = "driver_beads" in changes
    quantity = "v_centroid" if centroid else "velocities"
    outputs = f"<trajectory filename='v' format='bin'> {quantity} </trajectory>{more}"
    text = ipi_input(outputs, steps=STEPS, **changes)
    (directory / "input.xml").write_text(text)
    (directory / "init.xyz").write_text(init_xyz("False", SPREAD))
    process = subprocess.Popen(
        [ipi, "-S", f"{directory}/", "input.xml"],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # The beads of the first component come first: 0 to 3; ours are 4 to 7.
    bead = n_beads if n_beads > 1 and not centroid else None
    source, collected = client(directory, first_rid=bead), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    frames = [each.frame for each in collected.frames]
    assert [frame.step for frame in frames] == list(range(1, STEPS))
    name = "o.v.bin" if centroid else "o.v_0.bin"
    _, printed = read_bin(directory / name, STEPS + 1)
    wanted = printed[1:STEPS] * _UNIT
    got = np.array([frame.velocities for frame in frames])
    positions = np.array([frame.positions for frame in frames])
    n_foreign = source.n_foreign
    volumes = [frame.volume for frame in frames]
    temperature = 1 if centroid else n_beads  # each bead has that of the ring polymer
    thermal = np.sqrt(KT * temperature / MASSES)[:, None]

    def difference(velocities: np.ndarray, when: slice) -> float:
        relative = (velocities - wanted[when]) / thermal
        return float(np.sqrt((relative**2).mean()))

    return Compared(
        difference(got, slice(None)),
        difference((positions[2:] - positions[:-2]) / (2 * DT), slice(1, -1)),
        difference(np.diff(positions, axis=0) / DT, slice(1, None)),
        abs(volumes[-1] / volumes[0] - 1),
        n_foreign,
    )


@pytest.mark.parametrize("changes", [{}, CENTROID], ids=["nve", "centroid of RPMD"])
def test_without_a_thermostat_velocities_are_those_of_ipi(
    ipi_program: str, short_directory: Path, changes: dict[str, object]
) -> None:
    found = compare(ipi_program, short_directory, changes)
    assert found.client < 1e-14
    assert found.backward > 0.1  # half a step late: what must not be taken


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (thermostat("langevin", 100), langevin_noise(100)),
        (thermostat("langevin", 1000), langevin_noise(1000)),
        (thermostat("svr", 100), svr_noise(100)),
        (thermostat("svr", 1000), svr_noise(1000)),
        (CENTROID | thermostat("pile_g", 100), svr_noise(100)),
        (CENTROID | thermostat("pile_g", 1000), svr_noise(1000)),
    ],
    ids=[
        "Langevin 100 fs",
        "Langevin 1000 fs",
        "SVR 100 fs",
        "SVR 1000 fs",
        "centroid of TRPMD 100 fs",
        "centroid of TRPMD 1000 fs",
    ],
)
def test_a_thermostat_adds_the_noise_that_it_must(
    ipi_program: str,
    short_directory: Path,
    changes: dict[str, object],
    expected: float,
) -> None:
    """Of a global thermostat there are 200 numbers, known to 5 %; of Langevin 5400."""
    found = compare(ipi_program, short_directory, changes)
    few = "langevin" not in str(changes)
    assert found.client == pytest.approx(expected, rel=0.15 if few else 0.04)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (thermostat("langevin", 100) | BAOAB, 3.3e-2),
        (BEAD, 2.3e-3),
        (BEAD | thermostat("pile_g", 100), 0.23),
        (BEAD | thermostat("pile_g", 1000), 0.23),
        (OUTER, 1.3e-2),
    ],
    ids=[
        "BAOAB 100 fs",
        "bead of RPMD",
        "bead of TRPMD 100 fs",
        "bead of TRPMD 1000 fs",
        "outer step of MTS",
    ],
)
def test_other_integrators_are_as_good_as_the_table_says(
    ipi_program: str,
    short_directory: Path,
    changes: dict[str, object],
    expected: float,
) -> None:
    """The run of the table had another temperature: a quarter more or less."""
    found = compare(ipi_program, short_directory, changes)
    assert found.client == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("changes", [NPT, NST], ids=["NPT", "NST"])
def test_the_motion_of_the_cell_is_not_in_the_velocities(
    ipi_program: str, short_directory: Path, changes: dict[str, object]
) -> None:
    found = compare(ipi_program, short_directory, changes)
    assert found.change_of_volume > 0.1
    assert found.with_cell > 0.05
    assert found.client < 3e-5


def test_configurations_off_the_trajectory_do_not_count(
    ipi_program: str, short_directory: Path
) -> None:
    """An estimator that displaces all atoms asks both force fields for more."""
    more = "<properties filename='p' stride='2'> [step, scaledcoords] </properties>"
    found = compare(ipi_program, short_directory, {}, more)
    assert found.n_foreign >= STEPS // 2
    assert found.client < 1e-14
