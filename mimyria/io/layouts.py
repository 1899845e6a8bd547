"""Index orders and units that columns of a file may have, and the way to ours.

A tensor without order or unit is never guessed: a transposed APT passes every test on
symmetric tensors and spoils the spectrum of a liquid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, ShapeError, UnitError
from mimyria.frame import Array
from mimyria.targets import APT, PGT, Target
from mimyria.units import (
    ANGSTROM_PER_BOHR,
    BOHR_PER_ANGSTROM,
    E_ANGSTROM_PER_DEBYE,
    EV_PER_HARTREE,
    FS_PER_ATOMIC_TIME,
)

__all__ = [
    "MASK_SUFFIX",
    "TENSOR_LAYOUTS",
    "VELOCITY_UNIT",
    "TensorLayout",
    "atom_rows",
    "decode_mask",
    "layout_of",
    "layout_of_order",
    "velocity_factor",
]

_T = TypeVar("_T")

VELOCITY_UNIT: Final = "Angstrom/fs"

MASK_SUFFIX: Final = "_mask"
"""After the name of a tensor's column: the column that says which atoms have it."""

_VELOCITY_FACTORS: Final = {
    VELOCITY_UNIT: 1.0,
    "Angstrom/ps": 1e-3,
    "nm/ps": 1e-2,
    "bohr/atomic time": ANGSTROM_PER_BOHR / FS_PER_ATOMIC_TIME,
}


@dataclass(frozen=True, slots=True, eq=False)
class TensorLayout:
    """How one target may be stored.

    Attributes:
        target: what the numbers are.
        orders: name of each order and the stored axis behind each of our axes.
        factors: name of each unit and the factor to ours.
    """

    target: Target
    orders: dict[str, tuple[int, ...]]
    factors: dict[str, float]

    def require(
        self, order: str | None, unit: str | None, advice: str | None = None
    ) -> tuple[tuple[int, ...], float]:
        """Refuse an order or a unit that is missing or unknown.

        Args:
            order: such as `dM_a/dr_b`; words after a blank are remarks.
            unit: such as `e`.
            advice: what to do if not; None: what a reader of files says.

        Returns:
            The stored axis behind each of our axes, and the factor to our unit.

        Raises:
            UnitError: names those that are known.
        """
        name = self.target.name
        first = (order or "").split(" ")[0]
        axes = _look_up(self.orders, first, f"{name}_order", advice)
        return axes, _look_up(self.factors, unit or "", f"{name}_unit", advice)

    def decode(self, columns: Array, order: str | None, unit: str | None) -> Array:
        """Flat columns of a file as a tensor in our order and unit.

        Args:
            columns: (n_atoms, 3**rank), row-major in the order of the file.
            order: see `require`.
            unit: see `require`.

        Returns:
            (n_atoms, *target.shape) in `target.unit`.

        Raises:
            UnitError: order or unit is missing or unknown.
        """
        axes, factor = self.require(order, unit)
        stored = columns.reshape(-1, *self.target.shape)
        ours = stored.transpose(0, *(axis + 1 for axis in axes))
        tensor: Array = np.ascontiguousarray(ours, dtype=np.float64) * factor
        return tensor


TENSOR_LAYOUTS: Final = (
    TensorLayout(
        APT,
        {APT.order: (0, 1), "dM_b/dr_a": (1, 0)},
        {APT.unit: 1.0, "Debye/Angstrom": E_ANGSTROM_PER_DEBYE},
    ),
    TensorLayout(
        PGT,
        {PGT.order: (0, 1, 2), "dalpha_bc/dr_a": (1, 2, 0)},
        {
            PGT.unit: 1.0,
            "e^2 a0^2 Eh^-1 a0^-1": BOHR_PER_ANGSTROM,
            "e^2 a0 Eh^-1": BOHR_PER_ANGSTROM,
            "a.u./Angstrom": 1.0,
            "a.u./bohr": BOHR_PER_ANGSTROM,
            "Angstrom^2": BOHR_PER_ANGSTROM**3,
            "e Angstrom V^-1": BOHR_PER_ANGSTROM**2 * EV_PER_HARTREE,
        },
    ),
)


def layout_of(target: Target) -> TensorLayout:
    """How a target may be stored."""
    return next(layout for layout in TENSOR_LAYOUTS if layout.target is target)


def layout_of_order(order: str) -> TensorLayout:
    """The layout that knows an index order, and with it the target.

    Raises:
        UnitError: none does.
    """
    for layout in TENSOR_LAYOUTS:
        if order in layout.orders:
            return layout
    known = [f'"{name}"' for layout in TENSOR_LAYOUTS for name in layout.orders]
    raise UnitError(
        f'the index order must be one of {", ".join(known)}, but is "{order}".'
    )


def atom_rows(array: NDArray[np.generic], n_atoms: int, target: Target) -> Array:
    """Tensors of all atoms as another program has them: one row for each atom.

    (n_atoms, …) and (3 n_atoms, …) with the right number of components, as (n_atoms, 3,
    3), (n_atoms, 9) or (3 n_atoms, 3) for the APT, or all of them in one row.

    Returns:
        (n_atoms, n_components), row-major in the order of the array.

    Raises:
        ShapeError: it has another shape, or does not hold real numbers.
    """
    array = np.asarray(array)
    wanted = n_atoms * target.n_components
    fits = array.ndim and array.shape[0] in (n_atoms, 3 * n_atoms, wanted)
    if array.dtype.kind not in "fiu" or not fits or array.size != wanted:
        raise ShapeError(
            f"{target.name} must be real numbers of the shape "
            f"{(n_atoms, *target.shape)}, {(n_atoms, target.n_components)}, "
            f"{(3 * n_atoms, *target.shape[1:])} or {(wanted,)}, the atoms first, but "
            f"is of type {array.dtype} and shape {array.shape}."
        )
    return array.astype(np.float64).reshape(n_atoms, -1)


def decode_mask(column: NDArray[np.generic], name: str) -> NDArray[np.bool_]:
    """A column of T and F as (n_atoms,) truth values.

    Raises:
        FormatError: the column is of another kind; numbers are not understood, since
            some programs mark with 1 what others leave out.
    """
    if column.ndim != 1 or column.dtype != np.bool_:
        raise FormatError(
            f"the column {name} must hold one T or F for each atom ({name}:L:1), but "
            f"is of type {column.dtype} and shape {column.shape}."
        )
    return column.astype(np.bool_)


def velocity_factor(unit: str | None, advice: str | None = None) -> float:
    """Factor from a unit of velocity in a file to Å/fs.

    Args:
        unit: such as `Angstrom/fs`.
        advice: what to do if not; None: what a reader of extended XYZ says.

    Raises:
        UnitError: the unit is missing or unknown.
    """
    return _look_up(_VELOCITY_FACTORS, unit or "", "velocities_unit", advice)


def _look_up(
    table: dict[str, _T], key: str, attribute: str, advice: str | None = None
) -> _T:
    if key in table:
        return table[key]
    known = ", ".join(f'"{name}"' for name in table)
    missing = "it is not said" if advice else "the frame does not say"
    found = f'"{key}" is none of them' if key else missing
    usual = (
        f"Add {attribute}=… to the comment line of every frame, or give the argument "
        f"{attribute}."
    )
    raise UnitError(
        f"{attribute} must be one of {known}, but {found}. {advice or usual}"
    )
