"""Elements of the atom types: LAMMPS itself knows numbers and masses alone.

What names elements outright comes first (`dump_modify element`, symbols behind a
potential file), then the mass, then a comment or a label. Names that contradict each
other, and a mass that is that of no element or of two, leave the type to the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mimyria_driver.attach.elements import (
    UNKNOWN,
    element_named,
    element_of_mass,
    fits_mass,
)
from mimyria_driver.attach.lammps.datafile import DataFile
from mimyria_driver.attach.lammps.script import Command
from mimyria_driver.lammps.engine import MASS_UNITS

__all__ = ["Species", "Type"]

_MOST_TYPES: Final = 1000


@dataclass(slots=True)
class Type:
    """One atom type.

    Attributes:
        mass: in the units of the run.
        named: element that the input names, with the place where it does.
        comment: what stands behind its mass, or its label.
        place: where its mass stands.
    """

    mass: float | None = None
    named: tuple[str, str] | None = None
    comment: str = ""
    place: str = ""


@dataclass(slots=True)
class Species:
    """All atom types of a run, by number from 1.

    Attributes:
        types: what is known of each.
        most: the highest number that the input says there is.
    """

    types: dict[int, Type] = field(default_factory=dict)
    most: int = 0

    def add_data(self, data: DataFile, name: str, offset: int = 0) -> None:
        """Take masses and labels of a data file, behind `offset` types."""
        self.most = max(self.most, min(data.n_types, _MOST_TYPES) + offset)
        for kind, mass in data.masses.items():
            for each in self._numbers(kind, offset):
                each.mass = mass
                each.comment = data.comments.get(kind, data.labels.get(kind, ""))
                each.place = f"Masses of {name}"

    def add_mass(self, command: Command) -> None:
        """`mass TYPES MASS`."""
        if len(command.words) < 2:
            return
        for each in self._numbers(command.words[0]):
            try:
                each.mass = float(command.words[1])
            except ValueError:
                each.mass = None
            each.comment = command.comment or each.comment
            each.place = f"{command.file}:{command.line}"

    def name_types(self, symbols: list[str], command: Command, words: str) -> None:
        """Symbols of all types in order; no symbols of elements are passed over."""
        known = [element_named(symbol) for symbol in symbols]
        for number, symbol in enumerate(known, start=1):
            if symbol is not None and number <= _MOST_TYPES:
                kind = self.types.setdefault(number, Type())
                place = f"{command.file}:{command.line}, {words}"
                kind.named = kind.named or (symbol, place)

    def label_type(self, number: int, label: str) -> None:
        """A label, which may be an element or the name of a force field's type."""
        if 1 <= number <= _MOST_TYPES:
            self.types.setdefault(number, Type()).comment = label

    def _numbers(self, text: str, offset: int = 0) -> Iterator[Type]:
        """The types that `2`, `*`, `2*4` stand for."""
        low, star, high = text.partition("*")
        try:
            first = int(low) if low else 1
            last = (int(high) if high else self.most) if star else first
        except ValueError:
            return
        for number in range(first, min(last, _MOST_TYPES) + 1):
            if number >= 1:
                yield self.types.setdefault(number + offset, Type())

    @property
    def count(self) -> int:
        """How many types there are, as far as the input says it."""
        return max(self.most, *self.types, 0) if self.types else self.most

    def element(self, number: int, units: str) -> tuple[str, str]:
        """Symbol of a type, `?` where it is not certain; and why.

        Args:
            number: of the type.
            units: style of units of the run, for the mass.
        """
        kind = self.types.get(number, Type())
        mass = None if kind.mass is None else kind.mass * MASS_UNITS.get(units, 1.0)
        if kind.named is not None:
            symbol, place = kind.named
            if mass is None or fits_mass(symbol, mass):
                return symbol, place
            said = f"named {symbol} in {place}, but its mass is {mass:.6g} amu"
            return UNKNOWN, f"{said} ({kind.place})"
        words = kind.comment.split()
        named = element_named(words[0]) if words else None
        if mass is None:
            if named is not None:
                return named, f"its label {words[0]}"
            return UNKNOWN, "no mass and no name of it was found"
        by_mass = element_of_mass(mass)
        if by_mass is None:
            return UNKNOWN, f"mass {mass:.6g} amu ({kind.place}) is that of no element"
        if named is not None and named != by_mass and not fits_mass(named, mass):
            return UNKNOWN, (
                f"mass {mass:.6g} amu ({kind.place}) is that of {by_mass}, but the "
                f"comment there says {words[0]}"
            )
        return by_mass, f"mass {mass:.6g} amu ({kind.place})"
