"""The atoms that an input of i-PI begins with: which file, and which elements."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FormatError
from mimyria.files import read_plain
from mimyria.frame import Array
from mimyria.molecules import symbols_of
from mimyria_driver.attach.ipi.reading import IpiInput
from mimyria_driver.attach.ipi.tree import Node, parse

__all__ = ["Structure", "read_structure"]

_LARGEST: Final = 256 << 20
_FILES: Final = ("xyz", "pdb", "ase")
_CELL: Final = re.compile(r"CELL\(abcABC\):((?:\s+[-+.\deE]+){6})")


@dataclass(frozen=True, slots=True)
class Structure:
    """The atoms.

    Attributes:
        symbols: of all atoms in order; none: not to be known.
        file: that the driver can read them from; None: a checkpoint, or none.
        why: where they come from, or why they are not known.
        positions: (n_atoms, 3) Å, or None.
        cell: (3, 3) Å, or None.
    """

    symbols: tuple[str, ...]
    file: Path | None
    why: str
    positions: Array | None = None
    cell: Array | None = None


def read_structure(document: IpiInput) -> Structure:
    """Find and read the atoms."""
    names = document.system.first("beads", "names")
    if names is not None:
        return _named(names, f"<names> of {document.path.name}")
    initialize = document.system.first("initialize")
    nodes = [] if initialize is None else initialize.children
    for node in (*_of(nodes, "file"), *_of(nodes, "positions")):
        name, mode = node.text.strip(), node.attribute("mode", "chk")
        path = document.path.parent / name
        place = f"{document.path.name}:{node.line}, {name}"
        if mode in _FILES:
            return _from_file(path, mode, place)
        if mode == "chk":
            return _from_checkpoint(path, place)
    return Structure((), None, f"no file with atoms was found in {document.path.name}")


def _of(nodes: list[Node], tag: str) -> list[Node]:
    return [node for node in nodes if node.tag == tag]


def _named(names: Node, place: str) -> Structure:
    """Symbols in a list such as `[ O , H, H ]`."""
    symbols = tuple(re.findall(r"[A-Za-z][a-z]?", names.text))
    return Structure(symbols, None, place)


def _from_checkpoint(path: Path, place: str) -> Structure:
    try:
        root = parse(read_plain(path, _LARGEST), path.name)
    except (OSError, FormatError, ValueError) as error:
        return Structure((), None, f"{place}: cannot be read ({error})")
    names = next(root.within("names"), None)
    if names is None:
        return Structure((), None, f"{place}: names no atoms")
    return _named(names, place)


def _from_file(path: Path, mode: str, place: str) -> Structure:
    from ase.io import read

    try:
        found = read(path, index=0, format="proteindatabank" if mode == "pdb" else None)
        atoms = found[0] if isinstance(found, list) else found
    except Exception as error:
        return Structure((), None, f"{place}: cannot be read ({error})")
    cell = _cell(path) if mode == "xyz" else np.array(atoms.cell)
    return Structure(
        tuple(symbols_of(atoms.numbers)),
        path,
        place,
        np.array(atoms.positions),
        cell,
    )


def _cell(path: Path) -> Array | None:
    """The cell in the comment of a file of i-PI, if all of it is in Å."""
    from ase.geometry import cellpar_to_cell

    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            file.readline()
            comment = file.readline(2000)
    except OSError:
        return None
    found = _CELL.search(comment)
    if found is None or not {"positions{angstrom}", "cell{angstrom}"} <= set(
        comment.split()
    ):
        return None
    try:
        sides = [float(word) for word in found[1].split()]
        cell: Array = cellpar_to_cell(sides)  # type: ignore[no-untyped-call]
    except (ValueError, AssertionError):
        return None
    return cell
