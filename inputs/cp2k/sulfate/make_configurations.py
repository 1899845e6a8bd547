"""Write configurations.extxyz: sulfate in water, from classical MD with LAMMPS.

    python make_configurations.py lmp

The result is in the repository; this is how to make it again, or more of it. `lmp` is
how LAMMPS is started; any with the packages KSPACE, MOLECULE and CLASS2 will do.
"""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WATERS = 30
BOX = 9.76  # Å: 30 waters at 0.997 g/cm3, and 18 cm3/mol for the ion
SULFUR_OXYGEN = 1.49  # Å
BOND = 0.9419  # Å
ANGLE = math.radians(107.4)
CHARGE = -2  # e, of the cell
SYMBOLS = {1: "O", 2: "H", 3: "S", 4: "O"}
MASSES = {1: 15.9994, 2: 1.00794, 3: 32.06, 4: 15.9994}
CHARGES = {1: -1.1128, 2: 0.5564, 3: 2.4, 4: -1.1}  # e
SULFATE = (3, 4, 4, 4, 4)
WATER = (1, 2, 2)


def start_positions(rng: np.random.Generator) -> list[np.ndarray]:
    """Positions in Å by molecule: waters on a cubic lattice, sulfate in a gap of it."""
    half = ANGLE / 2
    water = BOND * np.array(
        [
            [0.0, 0.0, 0.0],
            [math.sin(half), math.cos(half), 0.0],
            [-math.sin(half), math.cos(half), 0.0],
        ]
    )
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    sulfate = np.vstack([np.zeros(3), SULFUR_OXYGEN / math.sqrt(3) * corners])
    sites = (np.array(list(np.ndindex(4, 4, 4))) - 1.5) * BOX / 4
    # The eight sites in the middle are the ion's; the others are more than are needed.
    far = sites[np.linalg.norm(sites, axis=1) > BOX / 4]
    chosen = far[rng.permutation(len(far))[:WATERS]]
    middle = np.full(3, BOX / 2)
    molecules = [middle + sulfate]
    for site in chosen:
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        molecules.append(middle + site + water @ rotation.T)
    return molecules


def data_file(molecules: list[np.ndarray]) -> str:
    """The text of the LAMMPS data file; the sulfate is the first molecule."""
    kinds = [SULFATE] + [WATER] * (len(molecules) - 1)
    atoms, bonds, angles = [], [], []
    for number, (kind, positions) in enumerate(zip(kinds, molecules, strict=True), 1):
        first = len(atoms) + 1
        for atom_type, (x, y, z) in zip(kind, positions, strict=True):
            atoms.append(
                f"{len(atoms) + 1} {number} {atom_type} {CHARGES[atom_type]} "
                f"{x:.8f} {y:.8f} {z:.8f}"
            )
        bond = 2 if kind is SULFATE else 1
        arms = range(first + 1, first + len(kind))
        bonds += [f"{bond} {first} {arm}" for arm in arms]
        angles += [f"{bond} {a} {first} {b}" for a in arms for b in arms if a < b]
    lines = [
        "one sulfate and flexible waters",
        "",
        f"{len(atoms)} atoms",
        f"{len(bonds)} bonds",
        f"{len(angles)} angles",
        f"{len(MASSES)} atom types",
        "2 bond types",
        "2 angle types",
        "",
        *(f"0.0 {BOX} {axis}lo {axis}hi" for axis in "xyz"),
        "",
        "Masses",
        "",
        *(f"{kind} {mass}" for kind, mass in MASSES.items()),
        *("", "Atoms # full", "", *atoms),
        *("", "Bonds", "", *(f"{n} {row}" for n, row in enumerate(bonds, 1))),
        *("", "Angles", "", *(f"{n} {row}" for n, row in enumerate(angles, 1))),
    ]
    return "\n".join(lines) + "\n"


def whole_molecules(positions: np.ndarray) -> np.ndarray:
    """Unwrapped positions (n_atoms, 3) in Å, moved until each centre is in the cell."""
    moved = positions.copy()
    sizes = [len(SULFATE)] + [len(WATER)] * WATERS
    for begin, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        moved[begin : begin + size] -= BOX * np.floor(positions[begin] / BOX)
    return moved


def extxyz(dump: str) -> str:
    """Extended XYZ of all frames of a dump with the columns id type xu yu zu."""
    frames = dump.split("ITEM: TIMESTEP\n")[1:]
    text = []
    for number, frame in enumerate(frames):
        rows = [row.split() for row in frame.split("xu yu zu\n")[1].splitlines()]
        rows.sort(key=lambda row: int(row[0]))
        positions = whole_molecules(np.array([row[2:5] for row in rows], dtype=float))
        lattice = f"{BOX} 0 0 0 {BOX} 0 0 0 {BOX}"
        text += [
            str(len(rows)),
            f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T" '
            f'id={number} charge={CHARGE} source="classical MD, 300 K"',
            *(
                f"{SYMBOLS[int(row[1])]:2s} {x:12.8f} {y:12.8f} {z:12.8f}"
                for row, (x, y, z) in zip(rows, positions, strict=True)
            ),
        ]
    return "\n".join(text) + "\n"


def main(lammps: str) -> None:
    """Write the start, run LAMMPS, write the configurations."""
    start, dump = HERE / "start.data", HERE / "sulfate.dump"
    start.write_text(data_file(start_positions(np.random.default_rng(4))))
    words = [*shlex.split(lammps), "-in", "equilibrate.lammps", "-log", "none"]
    subprocess.run(words, cwd=HERE, check=True)
    (HERE / "configurations.extxyz").write_text(extxyz(dump.read_text()))
    start.unlink()
    dump.unlink()


if __name__ == "__main__":
    main(sys.argv[1])
