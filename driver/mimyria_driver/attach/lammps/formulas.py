"""Arithmetic of equal-style variables, as far as no running simulation is asked.

sum := term (+|- term)*    term := power (*|/|% power)*
power := sign (^ power)?   sign := -sign | atom
atom := number | v_name | PI | dt | function(sum) | (sum)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["UnreadableError", "evaluate"]

_TOKEN: Final = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(\S))"
)
_DEEPEST: Final = 40
_LONGEST: Final = 2000
_FUNCTIONS: Final[Mapping[str, Callable[[float], float]]] = {
    "sqrt": math.sqrt,
    "exp": math.exp,
    "ln": math.log,
    "log": math.log10,
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
}


class UnreadableError(ValueError):
    """What a text stands for is not to be known without running the input."""


def evaluate(formula: str, value_of: Callable[[str], float]) -> float:
    """The number that a formula gives.

    Args:
        formula: as after `variable NAME equal`.
        value_of: of a variable or a thermo keyword by its name (`v_n`, `dt`).

    Raises:
        UnreadableError: the simulation would have to be asked, or it is no formula.
    """
    if len(formula) > _LONGEST:
        raise UnreadableError("the formula is too long")
    tokens = [
        next(each for each in match.groups() if each is not None)
        for match in _TOKEN.finditer(formula)
    ]
    reader = _Reader(tokens, value_of)
    try:
        number = float(reader.sum(0))
    except (ArithmeticError, ValueError) as error:
        raise UnreadableError(f"'{formula}' is not to be known here") from error
    if reader.token or not math.isfinite(number):
        raise UnreadableError(f"'{formula}' is not to be known here")
    return number


class _Reader:
    """Recursive descent through the tokens of one formula."""

    def __init__(self, tokens: list[str], value_of: Callable[[str], float]) -> None:
        self._tokens = tokens
        self._at = 0
        self._value_of = value_of

    @property
    def token(self) -> str:
        """The next one, "" at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self.token
        self._at += 1
        return token

    def sum(self, depth: int) -> float:
        """Terms that are added."""
        if depth > _DEEPEST:
            raise UnreadableError("too many brackets")
        value = self._term(depth)
        while self.token in ("+", "-"):
            sign = 1.0 if self._take() == "+" else -1.0
            value += sign * self._term(depth)
        return value

    def _term(self, depth: int) -> float:
        value = self._power(depth)
        while self.token in ("*", "/", "%"):
            operator, other = self._take(), self._power(depth)
            if operator == "*":
                value *= other
            else:
                value = value / other if operator == "/" else math.fmod(value, other)
        return value

    def _power(self, depth: int) -> float:
        base = self._sign(depth)
        if self.token != "^":
            return base
        self._take()
        return math.pow(base, self._power(depth + 1) if depth < _DEEPEST else math.nan)

    def _sign(self, depth: int) -> float:
        factor = 1.0
        while self.token == "-":
            self._take()
            factor = -factor
        return factor * self._atom(depth)

    def _atom(self, depth: int) -> float:
        token = self._take()
        if token == "(":
            value = self.sum(depth + 1)
            if self._take() != ")":
                raise UnreadableError("a bracket is not closed")
            return value
        if token in _FUNCTIONS and self.token == "(":
            return float(_FUNCTIONS[token](self._atom(depth + 1)))
        if token == "PI":
            return math.pi
        if token[:1].isdigit() or token[:1] == ".":
            return float(token)
        if token[:1].isalpha():
            return self._value_of(token)
        raise UnreadableError(f"'{token}' is not to be known here")
