"""Ghosts: LAMMPS' own atoms and the copies of others around them, as numpy arrays.

`Engine` reads what a rank owns; this module adds the ghosts, and asks LAMMPS how far
they reach. It knows ctypes and numpy, no network and no socket.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array
from mimyria_driver.lammps.engine import Engine, HookError

__all__ = ["Ghosts", "communication_cutoff", "require_reach"]


class Ghosts(Engine):
    """One LAMMPS instance with the ghosts of this rank."""

    @property
    def n_all(self) -> int:
        """Atoms of this rank and its ghosts."""
        raw = ctypes.string_at(self._global("nghost"), 4)
        return self.n_local + int(np.frombuffer(raw, np.int32)[0])

    def all_positions(self) -> Array:
        """(n_all, 3) engine's unit — owned atoms first; a copy."""
        return self._copied("x", self.n_all)

    def own_velocities(self) -> Array:
        """(n_local, 3) engine's unit; a copy."""
        return self._copied("v", self.n_local)

    def all_types(self) -> NDArray[np.int64]:
        """(n_all,) from 1."""
        address = self._library.lammps_extract_atom(self._handle, b"type")
        n_all = self.n_all
        if not address or n_all == 0:
            return np.empty(0, np.int64)
        raw = ctypes.string_at(address, 4 * n_all)
        return np.frombuffer(raw, np.int32).astype(np.int64)

    def _copied(self, name: str, n_atoms: int) -> Array:
        rows = self._library.lammps_extract_atom(self._handle, name.encode())
        if not rows or n_atoms == 0:
            return np.empty((0, 3))
        first = ctypes.cast(rows, ctypes.POINTER(ctypes.c_void_p))[0]
        raw = ctypes.string_at(first, 24 * n_atoms)
        return np.frombuffer(raw, np.float64).reshape(-1, 3)


def communication_cutoff(library: ctypes.CDLL, handle: int) -> float | None:
    """How far ghosts reach, engine's unit; between two commands of the script only.

    All ranks must ask; the first one alone gets an answer. LAMMPS' C interface does not
    know it, so that its command `info` is asked.

    Raises:
        HookError: it cannot be found out, or differs between types.
    """
    command = library.lammps_command
    command.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    with tempfile.TemporaryDirectory(prefix="mimyria-") as folder:
        path = Path(folder) / "info"
        command(handle, f"info communication out overwrite {path}".encode())
        if not path.exists():
            return None
        text = path.read_text(errors="replace")
    found = re.search(r"^Communication cutoff = +(\S+)", text, re.MULTILINE)
    single = re.search(r"^Communication mode = +single", text, re.MULTILINE)
    if found is None or single is None:
        raise HookError(
            "Ranks that ask networks need one communication cutoff for all atoms, but "
            "`info communication` shows none. Use `comm_modify mode single`."
        )
    return float(found[1])


def require_reach(found: float, reach: float, skin: float) -> None:
    """Refuse ghosts that do not reach far enough, in Å.

    Atoms move by half the skin before LAMMPS makes its ghosts anew, owned ones as well
    as others.

    Raises:
        HookError: names what is needed.
    """
    needed = reach + skin
    if found < needed * (1.0 - 1e-9):
        raise HookError(
            f"The networks look {reach:g} Angstrom far (layers x cutoff) and atoms may "
            f"move by the skin of {skin:g}: ghosts must reach {needed:g} Angstrom, but "
            f"reach {found:g}. Put `comm_modify cutoff` with {needed:g} Angstrom into "
            "the input."
        )
