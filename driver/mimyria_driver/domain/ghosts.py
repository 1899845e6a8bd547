"""Ghosts: LAMMPS' own atoms and the copies of others around them, as numpy arrays.

`Engine` reads what a rank owns; this module adds the ghosts, and asks LAMMPS how far
they reach. It knows ctypes and numpy, no network and no socket.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.frame import Array
from mimyria_driver.lammps.engine import Engine, HookError

__all__ = [
    "Ghosts",
    "Neighbourhood",
    "neighbourhood",
    "require_known_box",
    "require_new_ghosts",
    "require_reach",
    "require_skin",
]

_LEAVE_GHOSTS: Final = ("deform", "press/berendsen")
_RENEW_GHOSTS: Final = ("npt", "nph", "rigid/npt", "rigid/nph", "balance")
_CHANGING_BOX: Final = 1.1
"""Subdomains move with the box, by much less than the atoms."""
_ROUNDING: Final = 1.0 + 1e-9


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

    def outside(self) -> float:
        """How far the farthest own atom is outside of the subdomain, engine's unit.

        In a triclinic box perpendicular to the faces.
        """
        cell, origin, _ = self._cell()
        positions = self._copied("x", self.n_local)
        if not len(positions):
            return 0.0
        if self.setting("triclinic") == 1:
            low, high = self._three("sublo_lambda"), self._three("subhi_lambda")
            places, heights = _fractions(positions - origin, cell)
        else:
            low, high = self._three("sublo"), self._three("subhi")
            places, heights = positions, np.ones(3)
        beyond = np.maximum(low - places.min(axis=0), places.max(axis=0) - high)
        return float(np.max(beyond * heights, initial=0.0))

    def lacks_ghosts(self, reach: float) -> bool:
        """Whether there are none, though an own atom has its image within `reach`.

        Args:
            reach: engine's unit.
        """
        if self.n_local == 0 or self.n_all > self.n_local:
            return False
        cell, origin, periodic = self._cell()
        positions = self._copied("x", self.n_local)
        places, heights = _fractions(positions - origin, cell)
        near = np.minimum(places, 1.0 - places) * heights < reach
        return bool((near & (np.array(periodic) == 1)).any())

    def _cell(self) -> tuple[Array, Array, tuple[int, int, int]]:
        rows, origin, periodic = self.box()
        return np.array(rows).reshape(3, 3), np.array(origin), periodic

    def _three(self, name: str) -> Array:
        raw = ctypes.string_at(self._global(name), 24)
        return np.frombuffer(raw, np.float64)

    def _copied(self, name: str, n_atoms: int) -> Array:
        rows = self._library.lammps_extract_atom(self._handle, name.encode())
        if not rows or n_atoms == 0:
            return np.empty((0, 3))
        first = ctypes.cast(rows, ctypes.POINTER(ctypes.c_void_p))[0]
        raw = ctypes.string_at(first, 24 * n_atoms)
        return np.frombuffer(raw, np.float64).reshape(-1, 3)


def _fractions(positions: Array, cell: Array) -> tuple[Array, Array]:
    """Fractional coordinates, and the heights of the cell above its faces."""
    inverse = np.linalg.inv(cell)
    return positions @ inverse, 1.0 / np.linalg.norm(inverse, axis=0)


@dataclass(frozen=True)
class Neighbourhood:
    """What LAMMPS says of ghosts, and of what may leave them behind.

    Attributes:
        cutoff: how far ghosts reach, engine's unit.
        fixes: styles of all fixes.
    """

    cutoff: float
    fixes: tuple[str, ...]


def neighbourhood(library: ctypes.CDLL, handle: int) -> Neighbourhood | None:
    """Ask LAMMPS; between two commands of the script only.

    All ranks must ask; the first one alone gets an answer. LAMMPS' C interface does not
    know it, so that its command `info` is asked.

    Raises:
        HookError: the cutoff cannot be found out, or differs between types.
    """
    command = library.lammps_command
    command.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    with tempfile.TemporaryDirectory(prefix="mimyria-") as folder:
        path = Path(folder) / "info"
        command(handle, f"info communication fixes out overwrite {path}".encode())
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
    fixes = re.findall(r"^Fix\[.*\bstyle = ([^, ]+)", text, re.MULTILINE)
    return Neighbourhood(float(found[1]), tuple(fixes))


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


def require_new_ghosts(fixes: Sequence[str]) -> None:
    """Refuse fixes that move box and atoms at the end of a step.

    Raises:
        HookError: names the fix.
    """
    for style in fixes:
        if style.startswith(_LEAVE_GHOSTS):
            raise HookError(
                f"fix {style} changes the box at the end of a step and leaves ghosts "
                "where they were, so that ranks cannot ask networks. Use fix npt or "
                'nph, or models.where = "driver".'
            )


def require_known_box(fixes: Sequence[str]) -> None:
    """Refuse a box that changes by a fix that was not there when LAMMPS was asked.

    Raises:
        HookError: no fix is known that changes it and renews the ghosts.
    """
    if not any(style.startswith(_RENEW_GHOSTS) for style in fixes):
        raise HookError(
            "The box changes, but by none of the fixes that were there at "
            "mimyria_domain and renew the ghosts with it (npt, nph and their "
            "relatives). Define all other fixes before mimyria_domain."
        )


def require_skin(outside: float, skin: float, *, box_changes: bool) -> None:
    """Refuse atoms that have moved farther than the ghosts allow.

    LAMMPS renews ghosts at the latest when an atom has moved by half of its skin. Right
    behind that each atom is in the subdomain of its rank, so how far it is outside is
    the least that it has moved since.

    Args:
        outside: of the own atoms, farthest, Å.
        skin: that the ghosts were made for, Å.
        box_changes: the subdomains then move a little themselves.

    Raises:
        HookError: names both lengths.
    """
    tolerance = _CHANGING_BOX if box_changes else _ROUNDING
    if outside > 0.5 * skin * tolerance:
        raise HookError(
            f"An atom has moved by {outside:.2f} Angstrom and more since LAMMPS made "
            f"its ghosts, but with the skin of {skin:g} Angstrom that mimyria_domain "
            f"was given only {0.5 * skin:g} are allowed. Give it the skin of "
            "`neighbor`, and use `neigh_modify every 1 delay 0 check yes`."
        )
