"""Importing: tensors of other programs as labels, by what the user says of them.

Index order and unit come from the user and from nowhere else. A row of NaN is an atom
without a label; it becomes a mask, so that training does not have to look at numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, MimyriaError, ShapeError, UnitError
from mimyria.frame import Array
from mimyria.io.foreign import ForeignFrame
from mimyria.io.labelled import LabelledFrame, Mask
from mimyria.io.layouts import MASK_SUFFIX, atom_rows, decode_mask, layout_of
from mimyria.pairsymmetry import symmetric_pair
from mimyria.targets import PGT, Target
from mimyria.tensors import Tensors

__all__ = ["PAIRS", "Convention", "import_labels"]

PAIRS = ("xx", "yy", "zz", "xy", "xz", "yz")
"""The six different components of a symmetric tensor, in any order and spelling."""


@dataclass(frozen=True, slots=True)
class Convention:
    """What the user says of one column.

    Attributes:
        target: what the numbers are.
        column: name of the array.
        order: index order, a key of `TensorLayout.orders`.
        unit: a key of `TensorLayout.factors`.
        pairs: order of the components of α where only six of nine are stored, such as
            xx, yy, zz, yz, xz, xy.
    """

    target: Target
    column: str
    order: str
    unit: str
    pairs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that order, unit and pairs are known.

        Raises:
            UnitError: one of them is not.
        """
        layout_of(self.target).require(self.order, self.unit, "Give it.")
        wanted = sorted("".join(sorted(pair)) for pair in PAIRS)
        if self.pairs and sorted("".join(sorted(p)) for p in self.pairs) != wanted:
            raise UnitError(
                f"the components of α must be {', '.join(PAIRS)} in some order, but "
                f"are {', '.join(self.pairs)}."
            )

    def decode(self, array: NDArray[np.generic], n_atoms: int) -> Array:
        """The array in our order and unit; NaN stays NaN.

        Args:
            array: see `atom_rows`; of a PGT also with 18 numbers for each atom.
            n_atoms: number of atoms.

        Returns:
            (n_atoms, *target.shape).

        Raises:
            ShapeError: the array has another shape.
        """
        rows = self._unpacked(array, n_atoms)
        return layout_of(self.target).decode(rows, self.order, self.unit)

    def _unpacked(self, array: NDArray[np.generic], n_atoms: int) -> Array:
        packed = self.target is PGT and array.size == 18 * n_atoms
        if packed and not self.pairs:
            raise ShapeError(
                f"{self.column} has 18 numbers for each atom, six for each direction. "
                "Say the order of the six, such as xx,yy,zz,yz,xz,xy."
            )
        if not packed:
            return atom_rows(array, n_atoms, self.target)
        axes = [("xyz".index(pair[0]), "xyz".index(pair[1])) for pair in self.pairs]
        # The stored axis of the displacement: the last in α_ab/r_c, else the first.
        last = self.order == PGT.order
        numbers = array.astype(np.float64).reshape(
            n_atoms, *((6, 3) if last else (3, 6))
        )
        full = np.empty((n_atoms, 3, 3, 3))
        for place, (a, b) in enumerate(axes):
            for i, j in ((a, b), (b, a)):
                if last:
                    full[:, i, j, :] = numbers[:, place, :]
                else:
                    full[:, :, i, j] = numbers[:, :, place]
        return full.reshape(n_atoms, -1)


def import_labels(
    frames: Iterable[ForeignFrame], conventions: Sequence[Convention]
) -> tuple[list[LabelledFrame], int]:
    """Frames with labels in our order and unit.

    Args:
        frames: of another program.
        conventions: what its columns mean, one a target.

    Returns:
        The frames that have a label, and how many have none and were left out.

    Raises:
        FormatError: a label is finite in part, or no frame has one.
        ShapeError: an array has another shape than its convention says.
        UnitError: a PGT is not symmetric in the indices that the order says.
    """
    found, n_bare = list[LabelledFrame](), 0
    for number, foreign in enumerate(frames):
        try:
            labelled = _labelled(foreign, conventions)
        except MimyriaError as error:
            raise type(error)(f"frame {number}: {error}") from error
        if labelled is None:
            n_bare += 1
        else:
            found.append(labelled)
    if not found:
        names = " or ".join(convention.column for convention in conventions)
        raise FormatError(f"none of the {n_bare} frames has a label in {names}.")
    return found, n_bare


def _labelled(
    foreign: ForeignFrame, conventions: Sequence[Convention]
) -> LabelledFrame | None:
    tensors: dict[str, Array] = {}
    masks: dict[str, Mask] = {}
    for convention in conventions:
        name = convention.target.name
        if convention.column not in foreign.arrays:
            continue
        array = foreign.arrays[convention.column]
        tensor = convention.decode(array, foreign.frame.n_atoms)
        mask = _mask(foreign, convention.column, tensor)
        if not mask.any():
            continue
        if convention.target is PGT:
            tensor[mask] = symmetric_pair(tensor[mask])
        tensors[name] = tensor
        if not mask.all():
            masks[name] = mask
    if not tensors:
        return None
    return LabelledFrame(foreign.frame, Tensors(**tensors), foreign.info, masks)


def _mask(foreign: ForeignFrame, column: str, tensor: Array) -> Mask:
    """Atoms with a label: no row of NaN, and not left out by a mask of the file."""
    nan = np.isnan(tensor).reshape(len(tensor), -1).all(axis=1)
    said = foreign.arrays.get(f"{column}{MASK_SUFFIX}")
    if said is None:
        return np.logical_not(nan)
    return decode_mask(said, f"{column}{MASK_SUFFIX}")
