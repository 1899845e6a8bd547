"""Write crystal-0.extxyz and on: a crystal of CO2 at 50 K, periodic GFN1-xTB.

    python dry_ice.py [NUMBER]

One cubic cell (Pa-3, four molecules): light sees the vibrations that are the same in
all cells, and these a single cell has. So few atoms exchange hardly any energy within
picoseconds: in a trajectory (one without a number, each with its own thermostat before
it) every mode keeps the energy that it got by chance.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from tblite.ase import TBLite

HERE = Path(__file__).resolve().parent
EDGE, BOND = 5.50, 1.141  # A, where GFN1-xTB has its least energy
CENTRES = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]]) / 2
AXES = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) / np.sqrt(3)
TEMPERATURE, TIME_STEP, STRIDE = 50.0, 1.0, 4  # K, fs, steps
EQUILIBRATION, PRODUCTION = 600, 4400  # steps


def crystal() -> Atoms:
    """The cell: each molecule lies along another diagonal of the cube."""
    atoms = Atoms(cell=3 * [EDGE], pbc=True)
    for centre, axis in zip(EDGE * CENTRES, AXES, strict=True):
        atoms += Atoms("CO2", [centre, centre + BOND * axis, centre - BOND * axis])
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.1, verbosity=0)
    return atoms


def trajectory(number: int) -> None:
    """A trajectory with its own random numbers."""
    rng = np.random.default_rng(number)
    atoms = crystal()
    # The thermostat takes half of this energy into the potential.
    spread = np.sqrt(2 * units.kB * TEMPERATURE * atoms.get_masses())
    atoms.set_momenta(spread[:, None] * rng.standard_normal((len(atoms), 3)))
    step, friction = TIME_STEP * units.fs, 1 / (100 * units.fs)
    Langevin(
        atoms,
        step,
        temperature_K=TEMPERATURE,
        friction=friction,
        fixcm=False,  # exact for few atoms, too; the centre is stopped below
        rng=rng,
    ).run(EQUILIBRATION)
    Stationary(atoms)
    path = HERE / f"crystal-{number}.extxyz"
    path.unlink(missing_ok=True)
    dynamics = VelocityVerlet(atoms, step)

    def keep() -> None:
        frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info["time"] = dynamics.nsteps * TIME_STEP
        frame.info["step"] = dynamics.nsteps
        frame.info["velocities_unit"] = "Angstrom/fs"
        frame.arrays["velocities"] = atoms.get_velocities() * units.fs
        frame.info["temperature"] = atoms.get_temperature()
        write(path, frame, append=True)

    dynamics.attach(keep, interval=STRIDE)
    dynamics.run(PRODUCTION)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        trajectory(number)
