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
from mimyria_driver.runcard import RunCard

__all__ = ["IpiEngine", "exchange_of"]

_AMU: Final = 1822.8885  # electron masses, as i-PI has it


class IpiEngine:
    """A simulation of i-PI, as `Sender` reads an engine; atomic units.

    Attributes:
        n_beads: of the ring polymer, all of which are sent; 0: the centroid is.
    """

    rank = 0
    n_ranks = 1

    def __init__(
        self,
        simulation: Any,  # noqa: ANN401 - i-PI has no types
        place: int = 0,
        *,
        all_beads: bool = False,
    ) -> None:
        """Look at a simulation that is loaded.

        Args:
            simulation: of i-PI.
            place: which of its systems; with replica exchange, which of its ensembles,
                whatever system has it.
            all_beads: send every bead of the ring polymers, not their centroid.

        Raises:
            HookError: there is no such system, it has no time step, or beads that do
                not move as atoms do.
        """
        systems = simulation.syslist
        if not 0 <= place < len(systems):
            raise HookError(
                f"There is no system {place}: the input has {len(systems)}, from 0 on."
            )
        self._systems = systems
        self._place = place
        self._exchange = exchange_of(simulation)
        self.time_step = float(getattr(self._system.motion, "dt", 0.0))
        if not self.time_step > 0:
            raise HookError(
                "This <motion> has no time step, so that it makes no spectrum. Use the "
                "mode dynamics or driven_dynamics."
            )
        self.n_beads = len(self._system.beads.q) if all_beads else 0
        if all_beads:
            _check_masses(self._system)
        names = [str(name) for name in self._system.beads.names]
        self.elements = tuple(dict.fromkeys(names))
        self._types = [self.elements.index(name) + 1 for name in names]
        self.step = int(simulation.step)
        self.n_atoms = self.n_local = len(names)

    @property
    def exchanges(self) -> bool:
        """Whether systems exchange their ensembles."""
        return self._exchange is not None

    @property
    def present(self) -> int:
        """Which of the systems it is now."""
        if self._exchange is None:
            return self._place
        return [int(each) for each in self._exchange.repindex].index(self._place)

    @property
    def _system(self) -> Any:  # noqa: ANN401
        return self._systems[self.present]

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
            beads=self.n_beads,
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
        """(n_atoms, 3) float64, bohr, never wrapped; or (n_atoms, n_beads, 3)."""
        beads: Array = np.array(self._system.beads.q, dtype="<f8")
        return self._packed(beads)

    def velocities(self) -> bytes:
        """The same of the velocities, atomic units; of the full step."""
        beads = self._system.beads
        momenta: Array = np.array(beads.p, dtype="<f8")
        masses: Array = np.array(beads.m3, dtype="<f8")
        if self.n_beads:
            return self._packed(momenta / masses)
        centroid: Array = momenta.mean(axis=0) / masses[0]
        return centroid.tobytes()

    def _packed(self, beads: Array) -> bytes:
        """All beads of each atom, or the centroid, of (n_beads, 3 n_atoms)."""
        packed: Array = beads.mean(axis=0)
        if self.n_beads:
            packed = beads.reshape(self.n_beads, -1, 3).swapaxes(0, 1)
        return packed.tobytes()


def exchange_of(simulation: Any) -> Any:  # noqa: ANN401
    """What exchanges the ensembles of the systems, or None.

    Source: i-PI 3.3, `ipi/engine/smotion/remd.py`: `repindex` says which ensemble each
    system has, momenta are scaled to it at once.
    """
    motion = simulation.smotion
    motions = getattr(motion, "mlist", [motion])
    return next((m for m in motions if hasattr(m, "repindex")), None)


def _check_masses(system: Any) -> None:  # noqa: ANN401
    """Refuse beads whose momenta are not those of atoms.

    Raises:
        HookError: normal modes have masses of their own.
    """
    factors: Array = np.array(system.nm.nm_factor, dtype=np.float64)
    if not np.allclose(factors, 1.0, rtol=1e-12):
        raise HookError(
            "All beads make an estimator of RPMD and TRPMD, where they have the masses "
            "of the atoms, but this <normal_modes> gives them others (as for PA-CMD). "
            "Send the centroid: leave --beads away."
        )
