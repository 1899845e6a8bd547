"""LAMMPS as the hook sees it: one instance behind its C interface.

This module knows ctypes and LAMMPS' names, no socket. Python 3.8 and the standard
library are enough.
"""

from __future__ import annotations

import ctypes
import sys

from mimyria_driver.runcard import RunCard

__all__ = ["MASS_UNITS", "Engine", "HookError"]

# One unit of mass in amu, of the styles whose masses are no amu (g/mol).
_AVOGADRO = 6.02214076e23
MASS_UNITS = {
    "si": 1e3 * _AVOGADRO,  # kg
    "cgs": _AVOGADRO,  # g
    "micro": 1e-12 * _AVOGADRO,  # pg
    "nano": 1e-18 * _AVOGADRO,  # ag
}


class HookError(RuntimeError):
    """The run cannot be streamed; the text says why and what to do."""


class Engine:
    """One LAMMPS instance, read through its C interface.

    Pointers are fetched anew on each call, because LAMMPS sorts, migrates and
    reallocates its atoms between two of them.

    Attributes:
        n_beads: of a ring polymer, all of which are sent; 0: LAMMPS has none.
        rank: of this process.
        n_ranks: of this LAMMPS.
        box_changes: whether a fix changes the box in this run, since `box` was asked.
    """

    n_beads = 0

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        """Declare the C functions.

        Args:
            library: ctypes.CDLL with the symbols of liblammps.
            handle: address of the LAMMPS instance.
        """
        pointer, name = ctypes.c_void_p, ctypes.c_char_p
        for function, result, arguments in (
            ("lammps_extract_global", pointer, [pointer, name]),
            ("lammps_extract_atom", pointer, [pointer, name]),
            ("lammps_extract_setting", ctypes.c_int, [pointer, name]),
            ("lammps_extract_box", None, [pointer] * 8),
            ("lammps_version", ctypes.c_int, [pointer]),
        ):
            getattr(library, function).restype = result
            getattr(library, function).argtypes = arguments
        self._library = library
        self._handle = handle
        self._bigint_bytes = 8 if self.setting("bigint") == 8 else 4
        self._id_bytes = 8 if self.setting("tagint") == 8 else 4
        self.rank = max(0, self.setting("world_rank"))
        self.n_ranks = max(1, self.setting("world_size"))
        self.box_changes = False

    @property
    def partition(self) -> int:
        """Which of the partitions of equal size this is, from 0; −1: there are none."""
        first = self.setting("universe_rank") - self.rank
        alone = self.setting("universe_size") == self.n_ranks
        return -1 if alone or first < 0 else first // self.n_ranks

    def setting(self, name: str) -> int:
        """An integer setting, −1 where LAMMPS does not know it."""
        value: int = self._library.lammps_extract_setting(self._handle, name.encode())
        return value

    def real(self, name: str) -> float:
        """A global property that is a double."""
        pointer = ctypes.cast(self._global(name), ctypes.POINTER(ctypes.c_double))
        return float(pointer[0])

    def _global(self, name: str) -> int:
        address = self._library.lammps_extract_global(self._handle, name.encode())
        if not address:
            raise HookError(f"This LAMMPS does not offer '{name}'; 29Sep2021 does.")
        return int(address)

    def _bigint(self, name: str) -> int:
        raw = ctypes.string_at(self._global(name), self._bigint_bytes)
        return int.from_bytes(raw, sys.byteorder, signed=True)

    @property
    def version(self) -> str:
        """Name and version."""
        return f"LAMMPS {self._library.lammps_version(self._handle)}"

    @property
    def units(self) -> str:
        """The style of the units."""
        return ctypes.string_at(self._global("units")).decode()

    @property
    def step(self) -> int:
        """Current MD step."""
        return self._bigint("ntimestep")

    @property
    def time_step(self) -> float:
        """MD time step, engine's unit."""
        return self.real("dt")

    @property
    def n_atoms(self) -> int:
        """Atoms of the whole system."""
        return self._bigint("natoms")

    @property
    def n_local(self) -> int:
        """Atoms of this rank."""
        return int.from_bytes(
            ctypes.string_at(self._global("nlocal"), 4), sys.byteorder, signed=True
        )

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        """The description of the run, times in fs."""
        units = self.units
        if units == "lj":
            raise HookError(
                "A spectrum needs physical units, but this run uses `units lj`. "
                "Use real, metal or another physical style."
            )
        femtosecond = self.real("femtosecond")
        return RunCard(
            self.version,
            units,
            elements,
            self.time_step / femtosecond,
            stride,
            self.real("angstrom"),
            femtosecond,
            self.box()[2],
        )

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Lattice vectors as rows (9), origin (3), and what is periodic."""
        low, high = (ctypes.c_double * 3)(), (ctypes.c_double * 3)()
        xy, yz, xz = ctypes.c_double(), ctypes.c_double(), ctypes.c_double()
        periodic, changing = (ctypes.c_int * 3)(), ctypes.c_int()
        # The order of the tilts is xy, yz, xz in this function and nowhere else.
        self._library.lammps_extract_box(
            self._handle,
            *map(ctypes.byref, (low, high, xy, yz, xz, periodic, changing)),
        )
        rows = [high[0] - low[0], 0.0, 0.0]
        rows += [xy.value, high[1] - low[1], 0.0]
        rows += [xz.value, yz.value, high[2] - low[2]]
        self.box_changes = bool(changing.value)
        flags = (int(bool(periodic[0])), int(bool(periodic[1])), int(bool(periodic[2])))
        return rows, list(low), flags

    def _array(self, name: str, item_bytes: int) -> bytes:
        n_local = self.n_local
        address = self._library.lammps_extract_atom(self._handle, name.encode())
        if not address or n_local == 0:
            return b""
        return ctypes.string_at(address, item_bytes * n_local)

    def _vectors(self, name: str) -> bytes:
        n_local = self.n_local
        rows = self._library.lammps_extract_atom(self._handle, name.encode())
        if not rows or n_local == 0:
            return b""
        # Rows of LAMMPS' two-dimensional arrays lie one after the other in memory.
        first = ctypes.cast(rows, ctypes.POINTER(ctypes.c_void_p))[0]
        return ctypes.string_at(first, 24 * n_local)

    def ids(self) -> bytes:
        """(n_local,) of 4 or 8 bytes."""
        return self._array("id", self._id_bytes)

    def positions(self) -> bytes:
        """(n_local, 3) float64, engine's unit."""
        return self._vectors("x")

    def velocities(self) -> bytes:
        """(n_local, 3) float64, engine's unit; of the full step at end_of_step."""
        return self._vectors("v")

    def types(self) -> bytes:
        """(n_local,) int32, from 1."""
        return self._array("type", 4)

    def masses(self) -> bytes:
        """(n_local,) float64, amu, of each atom."""
        n_local = self.n_local
        if self.setting("rmass_flag") == 1:
            own = (ctypes.c_double * n_local).from_buffer_copy(self._array("rmass", 8))
        else:
            address = self._library.lammps_extract_atom(self._handle, b"mass")
            by_type = ctypes.cast(address, ctypes.POINTER(ctypes.c_double))
            types = (ctypes.c_int32 * n_local).from_buffer_copy(self.types())
            own = (ctypes.c_double * n_local)(*(by_type[each] for each in types))
        unit = MASS_UNITS.get(self.units)
        if unit is None:
            return bytes(own)
        return bytes((ctypes.c_double * n_local)(*(unit * each for each in own)))
