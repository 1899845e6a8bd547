"""What the input of a finished CP2K run says it is of: configuration, cell and field.

All of it must stand in the input in plain form; whatever could mean something else is
refused, so that no run is ever taken for that of another configuration or field.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from mimyria.errors import FormatError
from mimyria.frame import Array
from mimyria.reference.codes.cp2k.inputfile import Keyword, Section, read_input
from mimyria.reference.codes.cp2k.tightbinding import FIELD_SIGN, is_tight_binding

__all__ = ["DescribedRun", "described_run"]


@dataclass(frozen=True, slots=True, eq=False)
class DescribedRun:
    """One finished run, as its input describes it.

    Attributes:
        output: what it has printed.
        numbers: of the atoms.
        positions: (n_atoms, 3) Å, as they stand in the input.
        cell: (3, 3) Å.
        field: (3,) a.u. — as it acts.
        tight_binding: whether it is GFN1-xTB or DFTB.
    """

    output: Path
    numbers: tuple[int, ...]
    positions: Array
    cell: Array
    field: Array
    tight_binding: bool


def described_run(path: Path, output: Path) -> DescribedRun:
    """Configuration and field of a CP2K input.

    Raises:
        FormatError: coordinates, cell or field do not stand in it in plain form.
    """
    tree = read_input(path)
    force_eval = tree.find("FORCE_EVAL") or Section("")
    tight_binding = is_tight_binding(tree)
    try:
        numbers, positions = _atoms(force_eval.find("SUBSYS", "COORD"))
        cell = _cell(force_eval.find("SUBSYS", "CELL") or Section(""))
        field = _field(force_eval.find("DFT") or Section(""))
    except (ValueError, IndexError) as error:
        raise FormatError(f"{path} is not understood: {error}.") from error
    if tight_binding:
        field = FIELD_SIGN * field
    return DescribedRun(output, numbers, positions, cell, field, tight_binding)


def _atoms(section: Section | None) -> tuple[tuple[int, ...], Array]:
    rows = [] if section is None else section.entries
    if not rows:
        raise ValueError("it holds no &COORD section with the coordinates inside")
    numbers, positions = [], []
    for row in rows:
        symbol = row.name.capitalize()
        if not isinstance(row, Keyword) or symbol not in atomic_numbers:
            raise ValueError(f"&COORD holds '{row.name}', which is no element")
        numbers.append(atomic_numbers[symbol])
        positions.append([float(x) for x in row.value.split()[:3]])
    return tuple(numbers), np.array(positions, dtype=np.float64).reshape(-1, 3)


def _cell(section: Section) -> Array:
    angles = section.get("ALPHA_BETA_GAMMA")
    if angles is not None and {float(x) for x in angles.split()} != {90.0}:
        raise ValueError("the cell is given by angles; write A, B and C")
    abc = section.get("ABC")
    if abc is not None:
        return np.diag([float(x) for x in abc.split()[:3]])
    rows = [section.get(name) for name in "ABC"]
    if None in rows:
        raise ValueError("the cell is given neither by ABC nor by A, B and C")
    return np.array([row.split()[:3] for row in rows if row], dtype=np.float64)


def _field(dft: Section) -> Array:
    """The field that CP2K applies: it normalises POLARISATION."""
    if dft.find("EFIELD") is not None:
        raise ValueError("it has an &EFIELD, which is no homogeneous periodic field")
    section = dft.find("PERIODIC_EFIELD")
    if section is None:
        return np.zeros(3)
    displacement = section.get("DISPLACEMENT_FIELD")
    if displacement is not None and displacement.upper() not in ("F", "FALSE"):
        raise ValueError("its field is a displacement field D")
    words = (section.get("POLARISATION") or "").split()
    intensity = float((section.get("INTENSITY") or "0").upper().replace("D", "E"))
    if len(words) != 3:
        raise ValueError("POLARISATION must have three numbers")
    direction = np.array(words, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    if intensity == 0 or length == 0:
        return np.zeros(3)
    vector: Array = intensity / length * direction
    return vector
