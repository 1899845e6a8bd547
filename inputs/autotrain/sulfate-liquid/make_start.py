"""Write start.data, where the trajectories begin: a frame of ../../cp2k/sulfate.

    python make_start.py [NUMBER]

The result is in the repository, of configuration 0; this is how to make it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ase.io import read

HERE = Path(__file__).resolve().parent
SULFATE = HERE.parents[1] / "cp2k" / "sulfate"
sys.path.insert(0, str(SULFATE))

from make_configurations import BOX, data_file  # noqa: E402


def main(number: int) -> None:
    """Write a configuration as LAMMPS reads it, each molecule in one piece."""
    atoms = read(SULFATE / "configurations.extxyz", index=number)
    assert abs(atoms.cell.lengths() - BOX).max() < 1e-6
    ion, waters = atoms.positions[:5], atoms.positions[5:].reshape(-1, 3, 3)
    (HERE / "start.data").write_text(data_file([ion, *waters]))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
