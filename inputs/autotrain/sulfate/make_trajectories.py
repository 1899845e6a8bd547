"""Write trajectory-0.extxyz and on: a sulfate ion in eight waters, GFN1-xTB.

    python make_trajectories.py [NUMBER]

A droplet in vacuum, since tight binding has no homogeneous field in a periodic cell.
Each trajectory (two without a number) begins from another configuration: 2 ps with
a thermostat at 250 K, then 6 ps without it, a frame every 2 fs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read, write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import (
    MaxwellBoltzmannDistribution,
    Stationary,
    ZeroRotation,
)
from ase.md.verlet import VelocityVerlet
from tblite.ase import TBLite

HERE = Path(__file__).resolve().parent
LIQUID = HERE.parents[1] / "cp2k" / "sulfate" / "configurations.extxyz"
WATERS, CHARGE = 8, -2
VACUUM = 20.0  # A, the cell: spectra are per volume
TEMPERATURE, TIME_STEP, STRIDE = 250.0, 0.5, 4  # K, fs, steps
EQUILIBRATION, PRODUCTION = 4000, 12000  # steps


def droplet(liquid: Atoms) -> Atoms:
    """The sulfate (first five atoms) and the waters that are nearest to it."""
    positions, lengths = liquid.positions.copy(), liquid.cell.lengths()
    oxygens = np.arange(5, len(liquid), 3)
    for oxygen in oxygens:
        shift = np.round((positions[oxygen] - positions[0]) / lengths) * lengths
        positions[oxygen : oxygen + 3] -= shift
    distances = np.linalg.norm(positions[oxygens] - positions[0], axis=1)
    nearest = sorted(oxygens[np.argsort(distances)[:WATERS]])
    kept = [*range(5), *(first + atom for first in nearest for atom in range(3))]
    atoms = Atoms([liquid.symbols[i] for i in kept], positions[kept] - positions[0])
    atoms.calc = TBLite(method="GFN1-xTB", charge=CHARGE, verbosity=0)
    return atoms


def trajectory(number: int) -> None:
    """One trajectory from its own start and its own random numbers."""
    rng = np.random.default_rng(number)
    liquid = read(LIQUID, index=number % 4)
    atoms = droplet(liquid)
    MaxwellBoltzmannDistribution(atoms, temperature_K=TEMPERATURE, rng=rng)
    friction = 1 / (100 * units.fs)
    step = TIME_STEP * units.fs
    Langevin(atoms, step, temperature_K=TEMPERATURE, friction=friction, rng=rng).run(
        EQUILIBRATION
    )
    Stationary(atoms)
    ZeroRotation(atoms)
    path = HERE / f"trajectory-{number}.extxyz"
    path.unlink(missing_ok=True)
    dynamics = VelocityVerlet(atoms, step)

    def keep() -> None:
        frame = Atoms(atoms.symbols, atoms.positions, cell=3 * [VACUUM])
        frame.info["time"] = dynamics.nsteps * TIME_STEP
        frame.info["step"] = dynamics.nsteps
        frame.info["charge"] = CHARGE
        frame.info["velocities_unit"] = "Angstrom/fs"
        frame.arrays["velocities"] = atoms.get_velocities() * units.fs
        frame.info["temperature"] = atoms.get_temperature()
        write(path, frame, append=True)

    dynamics.attach(keep, interval=STRIDE)
    dynamics.run(PRODUCTION)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        trajectory(number)
