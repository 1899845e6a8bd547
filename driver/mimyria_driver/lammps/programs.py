"""LAMMPS programs on the PATH, by any of the names that packages give them."""

from __future__ import annotations

import os
import shutil
from typing import Final

__all__ = ["NAMES", "lammps_on_path"]

NAMES: Final = ("lmp", "lmp_mpi", "lmp_serial", "lmp_stable", "lammps")


def lammps_on_path() -> list[str]:
    """Where they are, in the order of the PATH; one with several names once."""
    found: dict[str, str] = {}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in NAMES:
            path = shutil.which(name, path=folder) if folder else None
            if path is not None:
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())
