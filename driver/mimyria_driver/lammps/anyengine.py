"""What a sender reads of an engine.

LAMMPS, i-PI and MD of Python have each a class that does this. Python 3.8 and the
standard library are enough.
"""

from __future__ import annotations

from typing import Protocol

from mimyria_driver.runcard import RunCard

__all__ = ["AnyEngine", "moving"]


class AnyEngine(Protocol):
    """One engine, or one rank of it, at its present step."""

    @property
    def rank(self) -> int:
        """MPI rank."""

    @property
    def n_ranks(self) -> int:
        """MPI ranks that send their own atoms each."""

    @property
    def step(self) -> int:
        """Current MD step."""

    @property
    def time_step(self) -> float:
        """MD time step, engine's unit."""

    @property
    def n_atoms(self) -> int:
        """Atoms of the whole system."""

    @property
    def n_local(self) -> int:
        """Atoms of this rank."""

    @property
    def n_beads(self) -> int:
        """Of a ring polymer, all of which are sent; 0: there is none."""

    def real(self, name: str) -> float:
        """One `femtosecond` in the engine's unit."""

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        """The description of the run, times in fs."""

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Lattice vectors as rows (9), origin (3), and what is periodic."""

    def ids(self) -> bytes:
        """(n_local,) of 4 or 8 bytes."""

    def types(self) -> bytes:
        """(n_local,) int32, from 1."""

    def masses(self) -> bytes:
        """(n_local,) float64, amu."""

    def positions(self) -> bytes:
        """(n_local, 3) float64, engine's unit."""

    def velocities(self) -> bytes:
        """(n_local, 3) float64, engine's unit."""


def moving(engine: AnyEngine) -> tuple[bytes, bytes]:
    """Positions and velocities."""
    return engine.positions(), engine.velocities()
