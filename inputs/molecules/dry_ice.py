"""Write crystal-0.extxyz and on: a crystal of CO2 at 50 K, periodic GFN1-xTB.

    python dry_ice.py [NUMBER]

One cubic cell (Pa-3, four molecules): light sees the vibrations that are the same in
all cells, and these a single cell has. So few atoms exchange hardly any energy within
picoseconds, and a thermostat would leave every mode with what it got by chance. Each
one therefore begins with kT, all of it in its motion, forth or back by chance; other
chances for each trajectory (one without a number).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from tblite.ase import TBLite

HERE = Path(__file__).resolve().parent
EDGE, BOND = 5.50, 1.141  # A, where GFN1-xTB has its least energy
CENTRES = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 0]]) / 2
AXES = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) / np.sqrt(3)
TEMPERATURE, TIME_STEP, STRIDE = 50.0, 1.0, 4  # K, fs, steps
PRODUCTION = 4400  # steps
SHIFT = 0.005  # A


def crystal() -> Atoms:
    """The cell: each molecule lies along another diagonal of the cube."""
    atoms = Atoms(cell=3 * [EDGE], pbc=True)
    for centre, axis in zip(EDGE * CENTRES, AXES, strict=True):
        atoms += Atoms("CO2", [centre, centre + BOND * axis, centre - BOND * axis])
    atoms.calc = TBLite(method="GFN1-xTB", accuracy=0.1, verbosity=0)
    return atoms


def relaxed() -> Atoms:
    """The crystal at rest."""
    atoms = crystal()
    BFGS(atoms, logfile=None).run(fmax=1e-3)
    return atoms


def modes(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Vibrations of a crystal at rest, by finite differences.

    Returns:
        Angular frequencies, 1/fs, three of them about zero; displacements
        (n_modes, n_atoms, 3), amu^(-1/2).
    """
    rest = atoms.positions.copy()
    n = rest.size
    hessian = np.zeros((n, n))
    for i in range(n):
        for sign in (1.0, -1.0):
            moved = rest.copy()
            moved.flat[i] += sign * SHIFT
            atoms.positions = moved
            hessian[i] -= sign * atoms.get_forces().ravel() / (2 * SHIFT)
    atoms.positions = rest
    roots = np.sqrt(np.repeat(atoms.get_masses(), 3))
    weighed = (hessian + hessian.T) / 2 / np.outer(roots, roots)
    squares, vectors = np.linalg.eigh(weighed)
    frequencies = np.sign(squares) * np.sqrt(np.abs(squares)) * units.fs
    displacements = (vectors / roots[:, None]).T.reshape(n, -1, 3)
    return frequencies, displacements


def excite(atoms: Atoms, rng: np.random.Generator) -> None:
    """Give each mode of a crystal at rest kT, in its motion, forth or back by chance.

    Not in displacements: along straight lines turned molecules have longer bonds.
    """
    frequencies, displacements = modes(atoms)
    vibrations = displacements[np.argsort(np.abs(frequencies))[3:]]
    ways = rng.choice([-1.0, 1.0], len(vibrations))
    speed = np.sqrt(2 * units.kB * TEMPERATURE)
    atoms.set_velocities(speed * np.einsum("m,mic->ic", ways, vibrations))


def trajectory(atoms: Atoms, number: int) -> None:
    """A trajectory with its own random numbers, of a crystal that is at rest."""
    excite(atoms, np.random.default_rng(number))
    path = HERE / f"crystal-{number}.extxyz"
    path.unlink(missing_ok=True)
    dynamics = VelocityVerlet(atoms, TIME_STEP * units.fs)

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
        trajectory(relaxed(), number)
