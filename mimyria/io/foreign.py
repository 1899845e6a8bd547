"""Frames of other programs, with all that belongs to their atoms, as ASE reads them.

Nothing is interpreted here: arrays keep the names, the shapes and the index orders of
the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.io import iread
from numpy.typing import NDArray

from mimyria.errors import FormatError, one_line
from mimyria.frame import Frame
from mimyria.io.atoms import frame_from_atoms

__all__ = ["KNOWN_NAMES", "ForeignFrame", "find_column", "read_foreign"]

KNOWN_NAMES: Final = {
    "apt": (
        "ref_apt",
        "apt",
        "born_effective_charges",
        "born_charges",
        "born_charge",
        "bec",
        "ref_bec",
        "zstar",
        "dipole_derivatives",
        "dipole_derivative",
    ),
    "pgt": (
        "ref_pgt",
        "pgt",
        "polarizability_derivatives",
        "polarizability_derivative",
        "polarizability_gradient",
    ),
}
"""Names under which programs store the tensors of each target, in lower case."""

_NO_LABELS: Final = ("numbers", "positions", "momenta", "forces", "stress")
_OWN: Final = ("step", "replica", "velocities_unit")


@dataclass(frozen=True, slots=True, eq=False)
class ForeignFrame:
    """A frame and what the file says of its atoms.

    Attributes:
        frame: without velocities.
        arrays: by name, whatever has at least as many numbers as there are atoms.
        info: further entries that fit into a comment line.
        step: of i-PI, if the frame says it.
    """

    frame: Frame
    arrays: dict[str, NDArray[Any]]
    info: dict[str, Any] = field(default_factory=dict)
    step: int | None = None


def read_foreign(path: Path, kind: str | None = None) -> Iterator[ForeignFrame]:
    """Frame after frame of any file that ASE can read.

    Args:
        path: the file.
        kind: ASE's name of the format, where it cannot be seen.

    Raises:
        FormatError: ASE cannot read it, or it is a text of i-PI whose cell would be
            lost.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    index = -1
    try:
        for index, atoms in enumerate(iread(str(path), ":", format=kind)):
            yield _foreign(atoms, index, path)
    except FormatError:
        raise
    except Exception as error:  # ASE raises nearly anything for a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the format
        raise FormatError(
            f"{path}, frame {index + 1}: ASE cannot read it "
            f"({type(error).__name__}: {one_line(error)}). If the file is complete, "
            "say its format."
        ) from error
    if index < 0:
        raise FormatError(f"{path} holds no frame. Is it the right file?")


def find_column(target: str, names: list[str]) -> list[str]:
    """Those names that usually stand for a target, whatever their case."""
    return [name for name in names if name.lower() in KNOWN_NAMES[target]]


def _foreign(atoms: Atoms, index: int, path: Path) -> ForeignFrame:
    step = _ipi_step(atoms, path)
    results = {} if atoms.calc is None else atoms.calc.results
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in [*atoms.info.items(), *results.items(), *atoms.arrays.items()]:
        array = np.asarray(value)
        if name not in _NO_LABELS and array.ndim and array.size >= len(atoms):
            arrays[name] = array
    info = {
        name: value
        for name, value in atoms.info.items()
        if name.isidentifier()
        and name not in (*_OWN, *arrays)
        and not name.endswith(("_order", "_unit"))  # of tensors as they were
        and _is_plain(value)
    }
    frame = frame_from_atoms(atoms, step=int(atoms.info.get("step", index)))
    return ForeignFrame(frame, arrays, info, step)


def _ipi_step(atoms: Atoms, path: Path) -> int | None:
    """The step in a comment of i-PI; refuses what ASE does not read as it is meant."""
    if any(key.startswith("CELL(") for key in map(str, atoms.info)):
        raise FormatError(
            f"{path} is a text of i-PI whose cell ASE does not read. Let i-PI write "
            'positions with format="ase" and units in angstrom.'
        )
    comment = str(atoms.info.get("ipi_comment", ""))
    if "positions{" in comment and "positions{angstrom}" not in comment:
        raise FormatError(
            f"{path} must have positions in angstrom, but says {comment.strip()!r}. "
            'Let i-PI write "positions{angstrom}".'
        )
    _, _, behind = comment.partition("Step:")
    return int(behind.split()[0]) if behind.split() else None


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return "\n" not in value
    return isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating))
