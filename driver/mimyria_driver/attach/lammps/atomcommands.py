"""Commands that say which atoms there are: their types, masses, names and number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mimyria.errors import FormatError
from mimyria_driver.attach.elements import element_named
from mimyria_driver.attach.lammps.datafile import read_data_file
from mimyria_driver.attach.lammps.meaning import Meaning, number_of
from mimyria_driver.attach.lammps.script import Command, Script

__all__ = ["ATOM_COMMANDS"]

_MOST_ATOMS: Final = 30_000
"""Atoms of a data file that are looked at, for molecules and charges."""


def _read_data(meaning: Meaning, command: Command, script: Script) -> None:
    if not command.words:
        return
    name = command.words[0]
    try:
        data = read_data_file(script.folder / name, meaning.atom_style, _MOST_ATOMS)
    except FormatError as error:
        meaning.atoms_known = False
        meaning.note(command, f"read_data: {error}")
        return
    more = 0
    for word, value in zip(command.words, command.words[1:], strict=False):
        if word == "extra/atom/types" and value.isdecimal():
            more = int(value[:4])
    offset = meaning.species.most if "add" in command.words else 0
    meaning.species.add_data(data, name, offset)
    meaning.species.most += more
    meaning.data[name] = data
    meaning.atoms_known = meaning.atoms_known and len(meaning.data) == 1


def _atoms_change(meaning: Meaning, command: Command, _: Script) -> None:
    """Atoms come or go in a way that is not followed."""
    meaning.atoms_known = False
    if command.name == "read_restart":
        text = "read_restart: elements and masses are in that file, which was not read"
        meaning.note(command, text)
    if command.name == "create_box" and command.words:
        number = number_of(command.words[0])
        if number is not None and 1 <= number <= 1000:
            meaning.species.most = max(meaning.species.most, int(number))


def _replicate(meaning: Meaning, command: Command, _: Script) -> None:
    numbers = [word for word in command.words[:3] if word.isdecimal()]
    if len(numbers) == 3:
        for number in numbers:
            meaning.copies = min(meaning.copies * int(number[:6]), 10**9)


def _mass(meaning: Meaning, command: Command, _: Script) -> None:
    meaning.species.add_mass(command)


def _dump_modify(meaning: Meaning, command: Command, _: Script) -> None:
    if "element" not in command.words:
        return
    begin = command.words.index("element") + 1
    symbols = list(command.words[begin : begin + max(1, meaning.species.count)])
    meaning.species.name_types(symbols, command, "dump_modify element")


def _pair_coeff(meaning: Meaning, command: Command, _: Script) -> None:
    """Symbols behind the file of a potential, one for each type."""
    count = meaning.species.count
    if command.words[:2] != ("*", "*") or not count:
        return
    symbols = list(command.words[-count:])
    if len(command.words) > 2 + count and all(map(_names_element, symbols)):
        meaning.species.name_types(symbols, command, "pair_coeff")


def _names_element(word: str) -> bool:
    return word == "NULL" or element_named(word) is not None


def _labelmap(meaning: Meaning, command: Command, _: Script) -> None:
    pairs = list(zip(command.words[1::2], command.words[2::2], strict=False))
    if command.words[:1] == ("atom",):
        for number, label in pairs:
            if number.isascii() and number.isdecimal():
                meaning.species.label_type(int(number[:6]), label)


def _atom_style(meaning: Meaning, command: Command, _: Script) -> None:
    meaning.atom_style = command.words[0] if command.words else ""


def _boundary(meaning: Meaning, command: Command, _: Script) -> None:
    if command.words[:3] != ("p", "p", "p"):
        text = "not periodic: intensities are by volume, which here is that of the box"
        meaning.warn(command, text)


ATOM_COMMANDS: Final[dict[str, Callable[[Meaning, Command, Script], None]]] = {
    "atom_style": _atom_style,
    "boundary": _boundary,
    "create_atoms": _atoms_change,
    "create_box": _atoms_change,
    "delete_atoms": _atoms_change,
    "dump_modify": _dump_modify,
    "labelmap": _labelmap,
    "mass": _mass,
    "pair_coeff": _pair_coeff,
    "read_data": _read_data,
    "read_dump": _atoms_change,
    "read_restart": _atoms_change,
    "replicate": _replicate,
}
