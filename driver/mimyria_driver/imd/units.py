"""Units of IMD: fixed by its specification, but LAMMPS sends those of its own style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mimyria.units import LAMMPS_UNITS

__all__ = ["UNITS", "ImdUnits"]


@dataclass(frozen=True, slots=True)
class ImdUnits:
    """What multiplies the numbers of an engine.

    Attributes:
        engine: its name, for people.
        angstrom: a length, to Å.
        femtosecond: a time, to fs.
    """

    engine: str
    angstrom: float
    femtosecond: float

    @property
    def velocity(self) -> float:
        """A velocity, to Å/fs."""
        return self.angstrom / self.femtosecond


def _of_lammps(style: str) -> ImdUnits:
    angstrom, femtosecond = LAMMPS_UNITS[style]
    return ImdUnits("LAMMPS by IMD", 1 / angstrom, 1 / femtosecond)


UNITS: Final[Mapping[str, ImdUnits]] = {
    "lammps-real": _of_lammps("real"),
    "lammps-metal": _of_lammps("metal"),
    # Å, ps and Å/ps, as the specification has them.
    "gromacs": ImdUnits("GROMACS by IMD", 1.0, 1e3),
    "namd": ImdUnits("NAMD by IMD", 1.0, 1e3),
}
