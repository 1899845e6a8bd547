"""ASDF: one line of compressed ordinates of a JCAMP-DX file (SQZ, DIF, DUP, PAC, AFFN).

The first digit of a number is replaced by a letter that also holds its sign, so that no
blank is needed:

    SQZ   @ A-I  a-i    0, +1 … +9, -1 … -9    a value
    DIF   % J-R  j-r    0, +1 … +9, -1 … -9    a difference to the value before
    DUP   S-Z s         1 … 8, 9               how often the number before stands there
"""

from __future__ import annotations

import math
import re
from typing import Final

from mimyria.errors import FormatError

__all__ = ["decode_line", "is_compressed"]

_SQZ: Final = {"@": "0"} | {
    letter: f"{sign}{digit}"
    for letters, sign in (("ABCDEFGHI", "+"), ("abcdefghi", "-"))
    for digit, letter in enumerate(letters, 1)
}
_DIF: Final = {"%": "0"} | {
    letter: f"{sign}{digit}"
    for letters, sign in (("JKLMNOPQR", "+"), ("jklmnopqr", "-"))
    for digit, letter in enumerate(letters, 1)
}
_DUP: Final = {letter: str(digit) for digit, letter in enumerate("STUVWXYZs", 1)}
# Letters that are no exponent: any but E, and an E that is not inside a number.
_LETTERS: Final = re.compile(r"[@%A-DF-Za-df-z]|(?<![\d.])[Ee]|[Ee](?![+-]?\d)")
_PLAIN: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d+)?")
_INTEGER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_TAIL: Final = re.compile(r"\d*\.?\d*")
_LONGEST: Final = 10_000_000


def is_compressed(table: str) -> bool:
    """Whether a table of ordinates uses letters as digits, so that E is no exponent."""
    return _LETTERS.search(table) is not None


def decode_line(line: str, *, compressed: bool) -> tuple[float, list[float], bool]:
    """Abscissa and ordinates of one line.

    Args:
        line: without its end and without comment.
        compressed: whether the table `is_compressed`.

    Returns:
        The abscissa; the ordinates, NaN for `?`; whether the line ends in a
        difference, so that the next one repeats its last value.

    Raises:
        FormatError: something is no number of any form.
    """
    # In compressed lines, E and e are digits of SQZ: no exponents there.
    plain = _INTEGER if compressed else _PLAIN
    values: list[float] = []
    abscissa: float | None = None
    difference: float | None = None
    position = 0
    while position < len(line):
        char = line[position]
        if char in " \t,;":
            position += 1
            continue
        if char == "?":
            values.append(math.nan)
            difference, position = None, position + 1
            continue
        kind, text, position = _token(line, position, plain)
        if kind == "plain" and abscissa is None:
            abscissa = float(text)
        elif kind in ("plain", "sqz"):
            values.append(float(text))
            difference = None
        elif kind == "dif":
            difference = float(text)
            values.append(_last(values, line) + difference)
        else:
            _repeat(values, difference, int(text), line)
    if abscissa is None:
        raise FormatError(f"the line '{line[:40]}' has no abscissa.")
    return abscissa, values, difference is not None


def _token(line: str, position: int, plain: re.Pattern[str]) -> tuple[str, str, int]:
    char = line[position]
    for kind, table in (("sqz", _SQZ), ("dif", _DIF), ("dup", _DUP)):
        if char in table:
            tail = _TAIL.match(line, position + 1)
            assert tail is not None  # it may be empty
            return kind, table[char] + tail.group(), tail.end()
    number = plain.match(line, position)
    if number is None:
        raise FormatError(
            f"'{line[position : position + 12]}' in the line '{line[:40]}' is no "
            "number of a JCAMP-DX table."
        )
    return "plain", number.group(), number.end()


def _last(values: list[float], line: str) -> float:
    if not values or math.isnan(values[-1]):
        raise FormatError(f"a difference without a value before it in '{line[:40]}'.")
    return values[-1]


def _repeat(
    values: list[float], difference: float | None, count: int, line: str
) -> None:
    """DUP: the number before (a value or a difference) stands there `count` times."""
    if not values or not 1 <= count <= _LONGEST:
        raise FormatError(f"a repetition of nothing, or of {count}, in '{line[:40]}'.")
    for _ in range(count - 1):
        values.append(values[-1] + (difference or 0.0))
