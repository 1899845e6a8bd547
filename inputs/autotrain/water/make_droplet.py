"""Cut a droplet of 8 waters out of inputs/lammps/water: writes droplet.data.

    python make_droplet.py ../../lammps/water/water64.data droplet.data

The result is in the repository; this is how to make it again. The droplet stands in the
middle of a cell with vacuum on all sides, as CP2K's tight binding needs it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

N_WATERS = 8
BOX = 20.0  # Å
HEAD = """\
8 flexible waters in vacuum

24 atoms
16 bonds
8 angles
2 atom types
1 bond types
1 angle types

0.0 {box} xlo xhi
0.0 {box} ylo yhi
0.0 {box} zlo zhi

Masses

1 15.9994
2 1.00794

Atoms # full
"""


def read_waters(path: Path) -> np.ndarray:
    """Positions (n, 3, 3) in Å of O, H, H of each molecule, whole molecules."""
    text = path.read_text()
    edge = next(float(x.split()[1]) for x in text.splitlines() if "xlo xhi" in x)
    block = text.split("Atoms # full", 1)[1].split("Velocities", 1)[0]
    block = block.split("Bonds", 1)[0]
    rows = [line.split() for line in block.splitlines() if len(line.split()) > 6]
    molecules: dict[int, list[tuple[int, list[float]]]] = {}
    for row in rows:
        place = int(row[2]), [float(x) for x in row[4:7]]
        molecules.setdefault(int(row[1]), []).append(place)
    waters = []
    for atoms in molecules.values():
        oxygen = np.array(next(r for kind, r in atoms if kind == 1))
        hydrogens = [np.array(r) for kind, r in atoms if kind == 2]
        near = [h - edge * np.round((h - oxygen) / edge) for h in hydrogens]
        waters.append([oxygen, *near])
    return np.array(waters)


def droplet(waters: np.ndarray) -> np.ndarray:
    """The molecules nearest to the middle of the box, around the middle of ours."""
    middle = waters[:, 0].mean(axis=0)
    nearest = np.argsort(np.linalg.norm(waters[:, 0] - middle, axis=1))[:N_WATERS]
    chosen = waters[nearest]
    return chosen - chosen[:, 0].mean(axis=0) + BOX / 2


def data_file(waters: np.ndarray) -> str:
    """The text of the data file."""
    lines = [HEAD.format(box=BOX)]
    for k, water in enumerate(waters):
        for j, (kind, charge) in enumerate(((1, -1.1128), (2, 0.5564), (2, 0.5564))):
            x, y, z = water[j]
            lines.append(
                f"{3 * k + j + 1} {k + 1} {kind} {charge} {x:.6f} {y:.6f} {z:.6f}"
            )
    lines += ["", "Bonds", ""]
    for k in range(len(waters)):
        lines += [f"{2 * k + j} 1 {3 * k + 1} {3 * k + 1 + j}" for j in (1, 2)]
    lines += ["", "Angles", ""]
    for k in range(len(waters)):
        lines.append(f"{k + 1} 1 {3 * k + 2} {3 * k + 1} {3 * k + 3}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(data_file(droplet(read_waters(Path(sys.argv[1])))))
