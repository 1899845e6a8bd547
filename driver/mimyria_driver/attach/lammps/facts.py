"""Numbers of the production run, taken from what is known of a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from mimyria.units import ANGSTROM_PER_BOHR
from mimyria_driver.attach.common import formulas_of
from mimyria_driver.attach.elements import UNKNOWN
from mimyria_driver.attach.lammps.datafile import DataFile
from mimyria_driver.attach.lammps.meaning import TIME_UNITS, Meaning, Run, number_of

__all__ = ["charge_of", "elements_of", "molecules_of", "temperature_of", "time_step_of"]

_LENGTHS: Final = {"real": 1.0, "metal": 1.0, "electron": ANGSTROM_PER_BOHR}  # Å
_HOTTEST: Final = 1e5  # K


def elements_of(meaning: Meaning) -> tuple[list[str], list[str]]:
    """Symbols of the types in order, and why each is it."""
    count = meaning.species.count
    if not count:
        return [UNKNOWN], ["neither masses nor a data file were found"]
    pairs = [meaning.species.element(n, meaning.units) for n in range(1, count + 1)]
    return [symbol for symbol, _ in pairs], [why for _, why in pairs]


def time_step_of(meaning: Meaning, run: Run) -> float | None:
    """fs, as the script has it at its production run; None: not to be known."""
    if run.time_step is None:
        return None
    # 0.00025 ps is 0.25 fs, and not 0.24999999999999997 fs.
    return float(f"{run.time_step * TIME_UNITS[meaning.units][0]:.12g}")


def temperature_of(meaning: Meaning, run: Run) -> tuple[float | None, str]:
    """K, and why; None where it cannot be known."""
    if run.temperature is None:
        return None, "no temperature was found in the input"
    text, place = run.temperature
    value = number_of(text)
    if value is None or not 0 < value < _HOTTEST:
        return None, f"{place}: '{text}' is not to be known here"
    return value, place


def _all_atoms(meaning: Meaning) -> DataFile | None:
    """The data file, if it has all atoms of the run and all of them were read."""
    if not meaning.atoms_known or len(meaning.data) != 1:
        return None
    (data,) = meaning.data.values()
    return data if data.n_atoms == len(data.atoms) > 0 else None


def charge_of(meaning: Meaning) -> float | None:
    """Total charge in e, where the data file says it of all atoms."""
    data = _all_atoms(meaning)
    if data is None or meaning.units not in ("real", "metal", "electron"):
        return None
    charges = [atom.charge for atom in data.atoms]
    if None in charges:
        return None
    return meaning.copies * sum(each for each in charges if each is not None)


def molecules_of(meaning: Meaning, elements: Sequence[str]) -> tuple[str, ...]:
    """Formulas of the molecules of the data file; none where they cannot be known."""
    data = _all_atoms(meaning)
    length = _LENGTHS.get(meaning.units)
    if data is None or length is None or set(data.edges) != set("xyz"):
        return ()
    kinds = [number_of(atom.kind) for atom in data.atoms]
    if any(kind is None or not 1 <= kind <= len(elements) for kind in kinds):
        return ()
    symbols = [elements[int(kind) - 1] for kind in kinds if kind is not None]
    sides = [data.edges[axis][1] - data.edges[axis][0] for axis in "xyz"]
    cell = np.diag(sides)
    cell[1, 0], cell[2, 0], cell[2, 1] = data.tilt
    positions = np.array([atom.position for atom in data.atoms])
    return formulas_of(symbols, positions * length, cell * length) * meaning.copies
