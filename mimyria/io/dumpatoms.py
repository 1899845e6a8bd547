"""Atoms of a binary LAMMPS dump: columns and units to ours, sorted by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, UnitError
from mimyria.frame import Array
from mimyria.io.lammpsbinary import Snapshot
from mimyria.units import LAMMPS_UNITS

__all__ = ["Atoms", "atoms_of", "factors_of", "symbols_of"]

_POSITIONS: Final = (
    (("x", "y", "z"), False),
    (("xu", "yu", "zu"), False),
    (("xs", "ys", "zs"), True),
    (("xsu", "ysu", "zsu"), True),
)
_VELOCITIES: Final = ("vx", "vy", "vz")
_MASSES_IN_AMU: Final = ("real", "metal", "electron")


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """The atoms of a snapshot, sorted by id.

    Attributes:
        ids: (n_atoms,) — rising.
        types: (n_atoms,) — from 1.
        masses: (n_atoms,) amu, None without a column `mass`.
        positions: (n_atoms, 3) Å.
        velocities: (n_atoms, 3) Å/fs, None without their columns.
        cell: (3, 3) Å.
    """

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    masses: Array | None
    positions: Array
    velocities: Array | None
    cell: Array


def atoms_of(snapshot: Snapshot, style: str) -> Atoms:
    """The atoms of a snapshot in internal units, sorted by id.

    Args:
        snapshot: as it stands in the dump.
        style: its unit style.

    Raises:
        FormatError: a column is missing, or ids or types are no such.
        UnitError: the style has no physical units.
    """
    angstrom, femtosecond = factors_of(style)
    columns = {name: index for index, name in enumerate(snapshot.columns)}
    for name in ("id", "type"):
        if name not in columns:
            raise FormatError(
                f"the dump has no column {name} (it has {' '.join(columns)}). Write "
                "`dump ... custom ... id type x y z vx vy vz`."
            )
    ids = _whole(snapshot, columns["id"], "id")
    order = np.argsort(ids, kind="stable")
    values = snapshot.values[order]
    ids = ids[order]
    twice = np.flatnonzero(np.diff(ids) == 0)
    if len(twice):
        raise FormatError(
            f"step {snapshot.step}: the id {ids[twice[0]]} stands twice; ids must be "
            "unique. Use `reset_atoms id` in LAMMPS."
        )
    # What is not finite is for the checks of frames to refuse.
    with np.errstate(all="ignore"):
        velocities = None
        if all(name in columns for name in _VELOCITIES):
            picked = _picked(values, columns, _VELOCITIES)
            velocities = picked * (femtosecond / angstrom)
        length = 1.0 / angstrom
        return Atoms(
            ids,
            _whole(snapshot, columns["type"], "type")[order],
            _masses(values, columns, style),
            _positions(values, columns, snapshot) * length,
            velocities,
            snapshot.cell * length,
        )


def factors_of(style: str) -> tuple[float, float]:
    """One Å and one fs in the units of a style.

    Raises:
        UnitError: the style has no physical units, or is unknown.
    """
    if style not in LAMMPS_UNITS:
        raise UnitError(
            f"the dump is in `units {style}`, but a spectrum needs physical units: "
            f"{', '.join(LAMMPS_UNITS)}."
        )
    return LAMMPS_UNITS[style]


def symbols_of(
    types: NDArray[np.int64], elements: Mapping[str, str] | None
) -> list[str]:
    """Element symbol of every atom.

    Raises:
        FormatError: a type has no element.
    """
    known = elements or {}
    absent = [str(kind) for kind in np.unique(types) if str(kind) not in known]
    if absent:
        raise FormatError(
            f"the type {absent[0]} has no element; known are "
            f"{', '.join(f'{k}={v}' for k, v in known.items()) or 'none'}. Give the "
            "element of every type, as 1=O 2=H."
        )
    return [known[str(kind)] for kind in types]


def _whole(snapshot: Snapshot, column: int, name: str) -> NDArray[np.int64]:
    values = snapshot.values[:, column]
    with np.errstate(invalid="ignore"):
        good = (values >= 1) & (values < 2**53) & (values == np.rint(values))
    if not good.all():
        raise FormatError(
            f"step {snapshot.step}: {name} must be a whole number from 1 on, but is "
            f"{values[int(np.argmin(good))]:g}. Is the dump damaged?"
        )
    return values.astype(np.int64)


def _masses(values: Array, columns: dict[str, int], style: str) -> Array | None:
    """Masses, where they are there and in amu."""
    if "mass" not in columns or style not in _MASSES_IN_AMU:
        return None
    return np.ascontiguousarray(values[:, columns["mass"]])


def _picked(values: Array, columns: dict[str, int], names: Sequence[str]) -> Array:
    """(n_atoms, len(names)), with rows one behind the other in memory.

    Sums over atoms then round as they do for frames of any other source.
    """
    return np.ascontiguousarray(values[:, [columns[name] for name in names]])


def _positions(values: Array, columns: dict[str, int], snapshot: Snapshot) -> Array:
    for names, scaled in _POSITIONS:
        if all(name in columns for name in names):
            picked = _picked(values, columns, names)
            return picked @ snapshot.cell + snapshot.origin if scaled else picked
    raise FormatError("the dump has no columns x y z (or xu, xs, xsu) of positions.")
