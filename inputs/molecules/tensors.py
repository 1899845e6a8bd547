"""APT and PGT of every molecule by itself: GFN1-xTB in 13 electric fields, each frame.

For `models.apt` and `models.pgt` of a run.toml: "python:tensors:make". Each molecule
is computed alone, in vacuum. That is all there is of a gas. Of a molecular crystal it
is the oriented-gas model: tensors move and turn with their molecules, and molecules do
not polarise each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from tblite.interface import Calculator

from mimyria.frame import Array, Frame
from mimyria.molecules import whole_molecules
from mimyria.reference import fit_tensors, pgt_stencil
from mimyria.targets import TARGETS
from mimyria.tensors import Tensors
from mimyria.tensorsources import SourceMetadata
from mimyria.units import BOHR_PER_ANGSTROM

METHOD = "GFN1-xTB"
ACCURACY = 1e-4  # in tblite's measure; its default of 1 is too loose for a PGT
FIELDS = pgt_stencil(2e-3)  # a.u.


class MoleculeTensors:
    """A `TensorSource` of one of the two tensors."""

    def __init__(self, target: str) -> None:
        """Say what it gives."""
        what = TARGETS[target]
        name = f"{METHOD} of single molecules, {target}"
        self.metadata = SourceMetadata(name, what, what.order, what.unit)

    def predict(self, frames: Sequence[Frame]) -> list[Array]:
        """The tensor of all atoms of each frame."""
        name = self.metadata.target.name
        return [getattr(tensors_of(frame), name) for frame in frames]


def tensors_of(frame: Frame) -> Tensors:
    """Both tensors of all atoms, molecule by molecule."""
    return _of_frame(
        frame.numbers.tobytes(), frame.positions.tobytes(), frame.cell.tobytes(),
        frame.pbc,
    )  # fmt: skip


@lru_cache(maxsize=64)  # the APT and the PGT of a frame are asked for one by one
def _of_frame(
    numbers: bytes, positions: bytes, cell: bytes, pbc: tuple[bool, bool, bool]
) -> Tensors:
    frame = Frame(
        np.frombuffer(numbers, dtype=np.int64),
        np.frombuffer(positions).reshape(-1, 3),
        np.frombuffer(cell).reshape(3, 3),
        None,
        0,
        pbc=pbc,
    )
    molecules, whole = whole_molecules(frame)
    apt, pgt = np.empty((frame.n_atoms, 3, 3)), np.empty((frame.n_atoms, 3, 3, 3))
    for molecule in range(molecules.max() + 1):
        own = np.flatnonzero(molecules == molecule)
        # Far from the origin the same field would be another energy.
        places = BOHR_PER_ANGSTROM * (whole[own] - whole[own[0]])
        forces = _forces(frame.numbers[own], places)
        fit = fit_tensors(FIELDS, forces)
        apt[own], pgt[own] = fit.apt, fit.pgt
    return Tensors(apt, pgt)


def _forces(numbers: Array, places: Array) -> Array:
    """(n_fields, n_atoms, 3) Eh/a0 — forces on one molecule, places in a0."""
    start, forces = None, []
    for field in FIELDS:
        calculator = Calculator(METHOD, numbers, places)
        calculator.set("verbosity", 0)
        calculator.set("accuracy", ACCURACY)
        if field.any():
            calculator.add("electric-field", field.tolist())
        result = calculator.singlepoint(start, copy=True)
        start = start or result  # the first of the fields is none
        forces.append(-result.get("gradient"))
    return np.array(forces)


def make(target: str, device: str) -> MoleculeTensors:
    """What the driver calls."""
    return MoleculeTensors(target)
