"""Index orders and units that columns of a file may have, and the way to ours.

A tensor without order or unit is never guessed: a transposed APT passes every test on
symmetric tensors and spoils the spectrum of a liquid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, UnitError
from mimyria.frame import Array
from mimyria.targets import APT, PGT, Target
from mimyria.units import (
    ANGSTROM_PER_BOHR,
    BOHR_PER_ANGSTROM,
    FS_PER_ATOMIC_TIME,
)

__all__ = [
    "MASK_SUFFIX",
    "TENSOR_LAYOUTS",
    "VELOCITY_UNIT",
    "TensorLayout",
    "decode_mask",
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

    def decode(self, columns: Array, order: str | None, unit: str | None) -> Array:
        """Flat columns of a file as a tensor in our order and unit.

        Args:
            columns: (n_atoms, 3**rank), row-major in the order of the file.
            order: such as `dM_a/dr_b`; words after a blank are remarks.
            unit: such as `e`.

        Returns:
            (n_atoms, *target.shape) in `target.unit`.

        Raises:
            UnitError: order or unit is missing or unknown.
        """
        name = self.target.name
        axes = _look_up(self.orders, (order or "").split(" ")[0], f"{name}_order")
        factor = _look_up(self.factors, unit or "", f"{name}_unit")
        stored = columns.reshape(-1, *self.target.shape)
        ours = stored.transpose(0, *(axis + 1 for axis in axes))
        tensor: Array = np.ascontiguousarray(ours, dtype=np.float64) * factor
        return tensor


TENSOR_LAYOUTS: Final = (
    TensorLayout(APT, {APT.order: (0, 1), "dM_b/dr_a": (1, 0)}, {APT.unit: 1.0}),
    TensorLayout(
        PGT,
        {PGT.order: (0, 1, 2), "dalpha_bc/dr_a": (1, 2, 0)},
        {
            PGT.unit: 1.0,
            "e^2 a0^2 Eh^-1 a0^-1": BOHR_PER_ANGSTROM,
            "e^2 a0 Eh^-1": BOHR_PER_ANGSTROM,
            "Angstrom^2": BOHR_PER_ANGSTROM**3,
        },
    ),
)


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


def velocity_factor(unit: str | None) -> float:
    """Factor from a unit of velocity in a file to Å/fs.

    Raises:
        UnitError: the unit is missing or unknown.
    """
    return _look_up(_VELOCITY_FACTORS, unit or "", "velocities_unit")


def _look_up(table: dict[str, _T], key: str, attribute: str) -> _T:
    if key in table:
        return table[key]
    known = ", ".join(f'"{name}"' for name in table)
    found = f'"{key}" is none of them' if key else "the frame does not say"
    raise UnitError(
        f"{attribute} must be one of {known}, but {found}. Add {attribute}=… to the "
        f"comment line of every frame, or give the argument {attribute}."
    )
