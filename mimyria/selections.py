"""Selections: names of groups for the atoms of one frame.

A selection is a line `NAME: RULE ...`. A rule is one of

    element H O ...      atoms of these elements
    molecule H2O ...     atoms of molecules with these formulas (Hill's order)
    index 0-5 9 ...      atoms counted from 0, in the order of the frames
    id 1-6 10 ...        the same counted from 1, as engines do

An atom belongs to the first line that names it, and to `rest` if none does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array, Frame
from mimyria.groups import FIRST_SHELL, Grouping, group_atoms
from mimyria.molecules import (
    BOND_FACTOR,
    find_bond_tree,
    find_molecules,
    molecule_formulas,
    symbols_of,
    whole_molecules,
)
from mimyria.motions import MOTIONS, Motions
from mimyria.shells import Shells

__all__ = [
    "REST",
    "molecule_labels",
    "motion_grouping",
    "selection_labels",
    "shell_grouping",
    "solute_labels",
    "species_labels",
]

REST: Final = "rest"
"""Group of the atoms that no selection names."""

_RULES: Final = ("element", "molecule", "index", "id")
_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?")


def species_labels(frame: Frame) -> list[str]:
    """Every atom by its element."""
    return symbols_of(frame.numbers)


def molecule_labels(frame: Frame, factor: float = BOND_FACTOR) -> list[str]:
    """Every atom by the formula of its molecule."""
    molecules = find_molecules(frame, factor)
    formulas = molecule_formulas(frame.numbers, molecules)
    return [formulas[molecule] for molecule in molecules.tolist()]


def solute_labels(
    frame: Frame, solutes: Sequence[str], factor: float = BOND_FACTOR
) -> list[str]:
    """`solute` for molecules of these formulas, `solvent` for all others.

    Raises:
        SettingsError: there is no such molecule.
    """
    formulas = molecule_labels(frame, factor)
    _require_all("molecule", solutes, formulas)
    return ["solute" if label in solutes else "solvent" for label in formulas]


def selection_labels(
    frame: Frame, selections: Sequence[str], factor: float = BOND_FACTOR
) -> list[str]:
    """Every atom by the first selection that names it.

    Raises:
        SettingsError: a line cannot be understood, or names no atom of its own.
    """
    labels = [""] * frame.n_atoms
    symbols = species_labels(frame)
    formulas: list[str] | None = None
    for line in selections:
        name, rule, words = _parse(line)
        if rule == "molecule" and formulas is None:
            formulas = molecule_labels(frame, factor)
        if rule in ("index", "id"):
            atoms = _numbers(line, words, frame.n_atoms, first=int(rule == "id"))
        else:
            found = symbols if rule == "element" else formulas or []
            _require_all(rule, words, found)
            atoms = [atom for atom, label in enumerate(found) if label in words]
        free = [atom for atom in atoms if not labels[atom]]
        if not free:
            raise SettingsError(
                f"the selection '{line}' names no atom that is not in a group before "
                "it. Put it first, or leave it away."
            )
        for atom in free:
            labels[atom] = name
    return [label or REST for label in labels]


def shell_grouping(
    frame: Frame,
    masses: Array,
    around: str,
    borders: Sequence[float],
    width: float,
    factor: float = BOND_FACTOR,
) -> Grouping:
    """The solute, and all other molecules shared between shells around it.

    Args:
        frame: which molecules are taken from.
        masses: (n_atoms,) amu.
        around: formula of the solute, or a rule as in a selection: the atoms that
            distances are from. All atoms of their molecules are the solute.
        borders: of the shells, Å, rising.
        width: of the ramps between shells, Å.
        factor: longest bond in units of the sum of covalent radii.

    Raises:
        SettingsError: there is no such atom, or nothing around it.
    """
    rule = around if len(around.split()) > 1 else f"molecule {around}"
    labels = selection_labels(frame, [f"solute: {rule}"], factor)
    centres = np.flatnonzero(np.array(labels) == "solute")
    molecule, parent = find_bond_tree(frame, factor)
    inner = np.isin(molecule, molecule[centres])
    if inner.all():
        raise SettingsError(
            f"around '{around}' there is nothing to make shells of: every molecule has "
            "such an atom. Choose the atoms of the solute alone."
        )
    limits = [f"{border:g}" for border in borders]
    names = (
        "solute",
        f"below {limits[0]} Å",
        *(f"{low} to {high} Å" for low, high in pairwise(limits)),
        f"above {limits[-1]} Å",
    )
    return replace(
        group_atoms(labels, species_labels(frame), masses),
        names=names,
        group=np.where(inner, 0, FIRST_SHELL),
        shells=Shells(centres, tuple(borders), width, molecule, parent),
    )


def motion_grouping(
    frame: Frame, masses: Array, factor: float = BOND_FACTOR
) -> Grouping:
    """Translation, libration and vibration of the molecules.

    Args:
        frame: which molecules are taken from.
        masses: (n_atoms,) amu.
        factor: longest bond in units of the sum of covalent radii.

    Raises:
        FrameError: a molecule is bonded to its own image, so that it cannot turn.
    """
    whole_molecules(frame, factor)
    symbols = species_labels(frame)
    plain = group_atoms([MOTIONS[0]] * len(symbols), symbols, masses)
    motions = Motions(*find_bond_tree(frame, factor))
    return replace(plain, names=MOTIONS, motions=motions)


def _parse(line: str) -> tuple[str, str, list[str]]:
    name, colon, text = line.partition(":")
    words = text.replace(",", " ").split()
    if not (colon and name.strip() and len(words) >= 2 and words[0] in _RULES):
        raise SettingsError(
            f"a selection must read 'NAME: RULE ...' with a rule of {', '.join(_RULES)}"
            f", but is '{line}'. Write for example 'solute: molecule CH4O'."
        )
    return name.strip(), words[0], words[1:]


def _require_all(what: str, wanted: Sequence[str], found: Sequence[str]) -> None:
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise SettingsError(
            f"there is no {what} {', '.join(missing)} in the first frame; there are "
            f"{', '.join(sorted(set(found)))}."
        )


def _numbers(line: str, words: Sequence[str], n_atoms: int, first: int) -> list[int]:
    """Atoms of ranges such as 3-7."""
    atoms: list[int] = []
    for word in words:
        match = _RANGE.fullmatch(word)
        if match is None:
            raise SettingsError(f"'{word}' in '{line}' must be a number, or two: 3-7.")
        begin = int(match[1]) - first
        end = int(match[2] or match[1]) - first
        if not 0 <= begin <= end < n_atoms:
            raise SettingsError(
                f"'{word}' in '{line}' must lie between {first} and "
                f"{n_atoms - 1 + first}: the frame has {n_atoms} atoms."
            )
        atoms += np.arange(begin, end + 1).tolist()
    return atoms
