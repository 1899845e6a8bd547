"""Write a lattice of 64 waters as a LAMMPS data file, the start of equilibrate.lammps.

    python make_water.py lattice.data && lmp -in equilibrate.lammps

The result of both, water64.data, is in the repository; this is how to make it again.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

BOX = 12.417  # Å; 64 waters at 0.997 g/cm3
PER_SIDE = 4
BOND = 0.9419  # Å
ANGLE = math.radians(107.4)
CHARGES = {1: -1.1128, 2: 0.5564}  # e


def water_positions(rng: np.random.Generator) -> np.ndarray:
    """Positions (192, 3) in Å, O H H by molecule: a cubic lattice, random turns."""
    half = ANGLE / 2
    water = BOND * np.array(
        [
            [0.0, 0.0, 0.0],
            [math.sin(half), math.cos(half), 0.0],
            [-math.sin(half), math.cos(half), 0.0],
        ]
    )
    positions = []
    for cell in np.ndindex(PER_SIDE, PER_SIDE, PER_SIDE):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        centre = (np.array(cell) + 0.5) * BOX / PER_SIDE
        positions.append(centre + water @ rotation.T)
    return np.concatenate(positions)


def data_file(positions: np.ndarray) -> str:
    """The text of the data file."""
    n_waters = len(positions) // 3
    lines = [
        "64 flexible waters on a lattice",
        "",
        f"{3 * n_waters} atoms",
        f"{2 * n_waters} bonds",
        f"{n_waters} angles",
        "2 atom types",
        "1 bond types",
        "1 angle types",
        "",
        *(f"0.0 {BOX} {axis}lo {axis}hi" for axis in "xyz"),
        "",
        "Masses",
        "",
        "1 15.9994",
        "2 1.00794",
        "",
        "Atoms # full",
        "",
    ]
    for index, (x, y, z) in enumerate(positions):
        kind = 1 if index % 3 == 0 else 2
        lines.append(
            f"{index + 1} {index // 3 + 1} {kind} {CHARGES[kind]} "
            f"{x:.8f} {y:.8f} {z:.8f}"
        )
    lines += ["", "Bonds", ""]
    for water in range(n_waters):
        oxygen = 3 * water + 1
        lines.append(f"{2 * water + 1} 1 {oxygen} {oxygen + 1}")
        lines.append(f"{2 * water + 2} 1 {oxygen} {oxygen + 2}")
    lines += ["", "Angles", ""]
    for water in range(n_waters):
        oxygen = 3 * water + 1
        lines.append(f"{water + 1} 1 {oxygen + 1} {oxygen} {oxygen + 2}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    generator = np.random.default_rng(64)
    Path(sys.argv[1]).write_text(data_file(water_positions(generator)))
