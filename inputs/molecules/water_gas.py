"""Write gas-00.extxyz and on: one water molecule at 300 K, free to turn, GFN1-xTB.

    python water_gas.py [NUMBER]

Nothing takes energy from a free molecule or gives it any, so each trajectory (20
without a number) is one molecule of the gas, with its own energy and its own way of
turning, and the spectrum is the mean of them all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from tblite.ase import TBLite

HERE = Path(__file__).resolve().parent
EDGE = 34.6  # A: the volume of a molecule of a gas at 300 K and 1 bar
TEMPERATURE, TIME_STEP, STRIDE = 300.0, 0.5, 8  # K, fs, steps
EQUILIBRATION, PRODUCTION = 1000, 6000  # steps


def trajectory(number: int) -> list[Atoms]:
    """Frames of one molecule, with random numbers of its own."""
    rng = np.random.default_rng(number)
    atoms = molecule("H2O", cell=3 * [EDGE], pbc=False)
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.1, verbosity=0)
    # The thermostat takes half of this energy into the potential.
    spread = np.sqrt(2 * units.kB * TEMPERATURE * atoms.get_masses())
    atoms.set_momenta(spread[:, None] * rng.standard_normal((len(atoms), 3)))
    step = TIME_STEP * units.fs
    Langevin(
        atoms,
        step,
        temperature_K=TEMPERATURE,
        friction=1 / (50 * units.fs),
        fixcm=False,  # exact for few atoms, too
        rng=rng,
    ).run(EQUILIBRATION)
    dynamics, frames = VelocityVerlet(atoms, step), []

    def keep() -> None:
        frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell)
        frame.info["time"] = dynamics.nsteps * TIME_STEP
        frame.info["step"] = dynamics.nsteps
        frame.info["velocities_unit"] = "Angstrom/fs"
        frame.arrays["velocities"] = atoms.get_velocities() * units.fs
        frames.append(frame)

    dynamics.attach(keep, interval=STRIDE)
    dynamics.run(PRODUCTION)
    return frames


if __name__ == "__main__":
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        write(HERE / f"gas-{number:02d}.extxyz", trajectory(number))
