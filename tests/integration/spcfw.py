"""An input of somebody else: flexible SPC/Fw water for LAMMPS and for i-PI.

Wu, Tepper, Voth, J. Chem. Phys. 124, 024503 (2006); not one of the shipped inputs.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

__all__ = ["write_ipi_run", "write_lammps_run"]

PER_SIDE = 4
BOX = 12.42  # Å; 64 molecules at 1 g/cm3
BOND = 1.012  # Å
ANGLE = math.radians(113.24)

SYSTEM = """\
units           real
atom_style      full
pair_style      lj/cut/coul/long 6.0
bond_style      harmonic
angle_style     harmonic
kspace_style    pppm 1.0e-5
read_data       box.data
pair_coeff      1 1 0.1554253 3.165492
pair_coeff      2 2 0.0 1.0
pair_modify     shift yes mix arithmetic
bond_coeff      1 529.581 1.012
angle_coeff     1 37.95 113.24
neigh_modify    delay 0 every 1 check yes
"""
LAMMPS = """\
# SPC/Fw water, as I have always run it
variable        T     equal 300.0
variable        dt    index 0.5
variable        n     index {steps}
include         system.inc

timestep        ${{dt}}
thermo          500
minimize        1e-4 1e-6 &
                200 2000
velocity        all create ${{T}} 8127 dist gaussian mom yes rot yes
fix             bath all nvt temp ${{T}} ${{T}} $(100*dt)
run             {warmup}
unfix           bath
fix             1 all nve
run             ${{n}}
write_data      end.data
"""
CLIENT = """\
until test -S /tmp/ipi_{socket}; do sleep 0.2; done
lmp -in client.in -screen none -log none
"""
IPI = """\
<simulation verbosity='low'>
  <output prefix='md'>
    <properties stride='10' filename='out'> [ step, conserved ] </properties>
  </output>
  <total_steps>{steps}</total_steps>
  <prng><seed>8127</seed></prng>
  <ffsocket name='forces' mode='unix' pbc='True'>
    <address>{socket}</address>
    <latency>1e-4</latency>
  </ffsocket>
  <system>
    <initialize nbeads='1'>
      <file mode='xyz'> start.xyz </file>
      <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces><force forcefield='forces'/></forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'>
        <timestep units='femtosecond'> 0.5 </timestep>
      </dynamics>
    </motion>
    <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
  </system>
</simulation>
"""


def positions() -> np.ndarray:
    """(192, 3) Å, O H H by molecule: a lattice, random turns."""
    rng = np.random.default_rng(11)
    half = ANGLE / 2
    arms = [[0, 0, 0], [math.sin(half), math.cos(half), 0]]
    water = BOND * np.array([*arms, [-math.sin(half), math.cos(half), 0]])
    placed = []
    for cell in np.ndindex(PER_SIDE, PER_SIDE, PER_SIDE):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        placed.append((np.array(cell) + 0.5) * BOX / PER_SIDE + water @ turn.T)
    return np.concatenate(placed)


def write_lammps_run(folder: Path, *, warmup: int, steps: int) -> None:
    """`in.lammps`, what it includes, and its data file."""
    atoms = positions()
    n = len(atoms) // 3
    lines = ["SPC/Fw", "", f"{3 * n} atoms", f"{2 * n} bonds", f"{n} angles"]
    lines += ["2 atom types", "1 bond types", "1 angle types", ""]
    lines += [f"0.0 {BOX} {axis}lo {axis}hi" for axis in "xyz"]
    lines += ["", "Masses", "", "1 15.9994  # OW", "2 1.008  # HW", "", "Atoms", ""]
    for k, (x, y, z) in enumerate(atoms):
        kind, charge = (1, -0.82) if k % 3 == 0 else (2, 0.41)
        lines.append(f"{k + 1} {k // 3 + 1} {kind} {charge} {x:.6f} {y:.6f} {z:.6f}")
    lines += ["", "Bonds", ""]
    for k in range(n):
        lines.append(f"{2 * k + 1} 1 {3 * k + 1} {3 * k + 2}")
        lines.append(f"{2 * k + 2} 1 {3 * k + 1} {3 * k + 3}")
    lines += ["", "Angles", ""]
    lines += [f"{k + 1} 1 {3 * k + 2} {3 * k + 1} {3 * k + 3}" for k in range(n)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "box.data").write_text("\n".join(lines) + "\n")
    (folder / "system.inc").write_text(SYSTEM)
    (folder / "in.lammps").write_text(LAMMPS.format(warmup=warmup, steps=steps))


def write_ipi_run(folder: Path, *, socket: str, steps: int) -> None:
    """`input.xml`, its atoms, and `force-client.sh` with LAMMPS behind it."""
    write_lammps_run(folder, warmup=0, steps=0)
    client = SYSTEM + f"fix 1 all ipi {socket} 31415 unix\nrun 100000000\n"
    (folder / "client.in").write_text(client)
    (folder / "force-client.sh").write_text(CLIENT.format(socket=socket))
    (folder / "input.xml").write_text(IPI.format(steps=steps, socket=socket))
    rows = [
        f"{'OHH'[k % 3]} {x:.6f} {y:.6f} {z:.6f}"
        for k, (x, y, z) in enumerate(positions())
    ]
    cell = f"# CELL(abcABC): {BOX} {BOX} {BOX} 90 90 90 "
    cell += "positions{angstrom} cell{angstrom}"
    (folder / "start.xyz").write_text("\n".join([str(len(rows)), cell, *rows]) + "\n")


if __name__ == "__main__":
    import sys

    write_lammps_run(Path(sys.argv[1]), warmup=int(sys.argv[2]), steps=int(sys.argv[3]))
