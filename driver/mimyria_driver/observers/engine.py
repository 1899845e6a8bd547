"""Engine: the present frame of an MD program in Python, as a sender reads an engine.

It knows frames, no socket. All is in Å, fs and amu.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from mimyria.errors import FrameError
from mimyria.frame import Array, Frame
from mimyria_driver.lammps.elements import MASS_TOLERANCE
from mimyria_driver.runcard import RunCard

__all__ = ["PythonEngine", "symbols_of"]

_DEUTERIUM_MASS: Final = 2.014


class PythonEngine:
    """One run, at the frame that it was given last.

    Attributes:
        frame: at the present step.
        elements: symbol of each atom type.
        time_step: fs.
    """

    rank = 0
    n_ranks = 1
    n_beads = 0

    def __init__(
        self, frame: Frame, masses: Array, time_step: float, name: str
    ) -> None:
        """Begin with a first frame.

        Args:
            frame: says which atoms there are.
            masses: (n_atoms,) amu.
            time_step: fs.
            name: of the program, with its version.
        """
        self.frame = frame
        self.time_step = time_step
        self._name = name
        self._masses = masses
        symbols = symbols_of(frame.numbers, masses)
        self.elements = tuple(dict.fromkeys(symbols))
        self._types = [self.elements.index(symbol) + 1 for symbol in symbols]
        self._numbers = frame.numbers.copy()
        self.n_atoms = self.n_local = frame.n_atoms

    def move_to(self, frame: Frame) -> None:
        """The frame of another step.

        Raises:
            FrameError: its atoms are others.
        """
        if not np.array_equal(frame.numbers, self._numbers):
            raise FrameError(
                f"step {frame.step}: the atoms are not those that the run began with. "
                "Number, elements and order must stay the same."
            )
        self.frame = frame

    @property
    def step(self) -> int:
        """Current MD step."""
        return self.frame.step

    def real(self, name: str) -> float:
        """One fs in fs."""
        return 1.0

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        """The description of the run."""
        periodic = self.box()[2]
        return RunCard(
            self._name,
            "Angstrom and fs",
            elements,
            self.time_step,
            stride,
            angstrom=1.0,
            femtosecond=1.0,
            periodic=periodic,
        )

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Lattice vectors as rows (9), origin (3), and what is periodic."""
        x, y, z = (int(periodic) for periodic in self.frame.pbc)
        return self.frame.cell.ravel().tolist(), [0.0, 0.0, 0.0], (x, y, z)

    def ids(self) -> bytes:
        """(n_atoms,) int64, from 1 in the order of the frame."""
        return np.arange(1, self.n_atoms + 1, dtype="<i8").tobytes()

    def types(self) -> bytes:
        """(n_atoms,) int32, from 1."""
        return np.array(self._types, dtype="<i4").tobytes()

    def masses(self) -> bytes:
        """(n_atoms,) float64, amu."""
        return _bytes(self._masses)

    def positions(self) -> bytes:
        """(n_atoms, 3) float64, Å."""
        return _bytes(self.frame.positions)

    def velocities(self) -> bytes:
        """(n_atoms, 3) float64, Å/fs."""
        assert self.frame.velocities is not None
        return _bytes(self.frame.velocities)


def symbols_of(numbers: NDArray[np.int64], masses: Array) -> list[str]:
    """Symbol of each atom; hydrogen with the mass of deuterium is D.

    Args:
        numbers: (n_atoms,) atomic numbers.
        masses: (n_atoms,) amu.

    Raises:
        FrameError: a number is not that of an element.
    """
    if numbers.min(initial=1) < 1 or numbers.max(initial=1) >= len(chemical_symbols):
        raise FrameError(
            f"Every atom must be an element, but the atomic numbers are "
            f"{sorted(set(numbers.tolist()))}."
        )
    heavy = (numbers == 1) & (np.abs(masses - _DEUTERIUM_MASS) <= MASS_TOLERANCE)
    return [
        "D" if is_heavy else chemical_symbols[number]
        for number, is_heavy in zip(numbers.tolist(), heavy.tolist(), strict=True)
    ]


def _bytes(array: Array) -> bytes:
    return np.ascontiguousarray(array, dtype="<f8").tobytes()
