"""Variables of an input script, and their values in a line.

Of a loop or a list the first value counts. What only a running simulation knows has no
value here, and a line with it says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mimyria_driver.attach.lammps.formulas import UnreadableError, evaluate

__all__ = ["Variables"]

_DEEPEST: Final = 20
_KEPT: Final = ("index", "loop", "world", "universe", "uloop")
"""Styles that leave a variable alone that is there."""
_PLACE: Final = re.compile(
    r"\$\{([^{}]*)\}|\$\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)|\$(\w)"
)
_FORMAT: Final = re.compile(r"%[-+ 0#]?\d{0,3}(?:\.\d{1,2})?[dfgeDFGE]")


class Variables:
    """All variables at one place of the script.

    Attributes:
        stepped: those that `next` or a loop changes, so that a value is the first only.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        """Begin with those of the command line.

        Args:
            given: by `-var`.
        """
        self._strings: dict[str, str] = dict(given)
        self._formulas: dict[str, str] = {}
        self.stepped: set[str] = set()
        self.time_step: float | None = None
        self._depth = 0

    def define(self, words: Sequence[str]) -> None:
        """What `variable NAME STYLE ...` does."""
        if len(words) < 2:
            return
        name, style, *values = words
        known = name in self._strings or name in self._formulas
        if style in _KEPT and known:
            return
        if style == "equal" and known and name not in self._formulas:
            return  # given on the command line
        self._forget(name)
        if style == "loop":
            numbers = [value for value in values if value != "pad"]
            self._strings[name] = numbers[0] if len(numbers) > 1 else "1"
            self.stepped.add(name)
        elif style in ("index", "string", "world", "universe") and values:
            self._strings[name] = values[0]
            if style != "string" and len(values) > 1:
                self.stepped.add(name)
        elif style == "uloop":
            self._strings[name] = "1"
            self.stepped.add(name)
        elif style == "equal" and values:
            self._formulas[name] = " ".join(values)

    def _forget(self, name: str) -> None:
        self._strings.pop(name, None)
        self._formulas.pop(name, None)

    def expand(self, text: str) -> tuple[str, tuple[str, ...]]:
        """A line with all values in their places.

        Returns:
            The line, and the places that have no value and were left as they are.
        """
        unknown: list[str] = []

        def value(match: re.Match[str]) -> str:
            try:
                return self._place(match)
            except UnreadableError:
                unknown.append(match.group())
                return match.group()

        parts = _outside_quotes(text)
        expanded = "".join(
            part if quoted else _PLACE.sub(value, part) for part, quoted in parts
        )
        return expanded, tuple(unknown)

    def _place(self, match: re.Match[str]) -> str:
        name, formula, letter = match.groups()
        if formula is None:
            return self._text(name if letter is None else letter)
        formula, colon, shape = formula.partition(":")
        number = evaluate(formula, self._number)
        if colon and _FORMAT.fullmatch(shape):
            return shape % (int(number) if shape[-1] in "dD" else number)
        return f"{number:.20g}"

    def _text(self, name: str) -> str:
        if name in self._strings:
            return self._strings[name]
        return f"{self._number(f'v_{name}'):.15g}"

    def _number(self, name: str) -> float:
        """Value of `v_NAME`, or of the time step as `dt`."""
        if name == "dt" and self.time_step is not None:
            return self.time_step
        if not name.startswith("v_") or self._depth > _DEEPEST:
            raise UnreadableError(f"'{name}' is not to be known here")
        self._depth += 1
        try:
            return self._value(name.removeprefix("v_"))
        finally:
            self._depth -= 1

    def _value(self, name: str) -> float:
        """Value of a variable as a number."""
        if name in self._formulas:
            formula, unknown = self.expand(self._formulas[name])
            if unknown:
                raise UnreadableError(f"'{unknown[0]}' is not to be known here")
            return evaluate(formula, self._number)
        try:
            return float(self._strings[name])
        except (KeyError, ValueError):
            raise UnreadableError(f"'{name}' is not to be known here") from None


def _outside_quotes(text: str) -> list[tuple[str, bool]]:
    """Parts of a line, and whether each stands in quotes, where nothing is replaced."""
    parts = re.split(r'("""(?:.|\n)*?"""|"[^"]*"|\'[^\']*\')', text)
    return [(part, bool(index % 2)) for index, part in enumerate(parts)]
