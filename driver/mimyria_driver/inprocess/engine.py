"""Engine: a simulation of i-PI as the sender of LAMMPS' hook reads an engine.

It reads and changes nothing. All is in atomic units with i-PI's own constants.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import numpy as np

from mimyria.frame import Array
from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.wire import RunCard

__all__ = ["IpiEngine"]

_AMU: Final = 1822.8885  # electron masses, as i-PI has it


class IpiEngine:
    """A simulation of i-PI, as `Sender` reads an engine; atomic units."""

    rank = 0
    n_ranks = 1

    def __init__(self, simulation: Any) -> None:  # noqa: ANN401 - i-PI has no types
        """Look at a simulation that is loaded.

        Raises:
            HookError: it has several systems, or no time step.
        """
        systems = simulation.syslist
        if len(systems) != 1:
            raise HookError(
                f"The input has {len(systems)} systems, but a driver serves one. Run "
                "them one by one."
            )
        (self._system,) = systems
        self._simulation = simulation
        self.time_step = float(getattr(self._system.motion, "dt", 0.0))
        if not self.time_step > 0:
            raise HookError(
                "This <motion> has no time step, so that it makes no spectrum. Use the "
                "mode dynamics or driven_dynamics."
            )
        names = [str(name) for name in self._system.beads.names]
        self.elements = tuple(dict.fromkeys(names))
        self._types = [self.elements.index(name) + 1 for name in names]
        self.step = int(simulation.step)
        self.n_atoms = self.n_local = len(names)

    def real(self, name: str) -> float:
        """One fs or one Å in atomic units, those of i-PI."""
        return {
            "femtosecond": 1.0 / FS_PER_IPI_TIME,
            "angstrom": 1.0 / ANGSTROM_PER_IPI_BOHR,
        }[name]

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        """The description of the run."""
        return RunCard(
            f"i-PI {version('ipi')}",
            "atomic",
            elements,
            self.time_step * FS_PER_IPI_TIME,
            stride,
            self.real("angstrom"),
            self.real("femtosecond"),
            (1, 1, 1),
        )

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Lattice vectors as rows (9), origin (3), and what is periodic."""
        # Columns in i-PI, rows on the wire.
        cell = np.array(self._system.cell.h, dtype=np.float64).T
        return cell.ravel().tolist(), [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self) -> bytes:
        """(n_atoms,) int64, from 1 in i-PI's order."""
        return np.arange(1, self.n_atoms + 1, dtype="<i8").tobytes()

    def types(self) -> bytes:
        """(n_atoms,) int32, from 1."""
        return np.array(self._types, dtype="<i4").tobytes()

    def masses(self) -> bytes:
        """(n_atoms,) float64, amu."""
        masses: Array = np.array(self._system.beads.m, dtype="<f8") / _AMU
        return masses.tobytes()

    def positions(self) -> bytes:
        """(n_atoms, 3) float64, bohr; of the centroid, never wrapped."""
        return _centroid(self._system.beads.q).tobytes()

    def velocities(self) -> bytes:
        """(n_atoms, 3) float64, atomic units; of the full step."""
        beads = self._system.beads
        masses: Array = np.array(beads.m3, dtype="<f8")[0]
        return (_centroid(beads.p) / masses).tobytes()


def _centroid(beads: Any) -> Array:  # noqa: ANN401
    """Mean over the beads of (n_beads, 3 n_atoms), (3 n_atoms,)."""
    mean: Array = np.array(beads, dtype="<f8").mean(axis=0)
    return mean
