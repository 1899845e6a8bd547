"""Glyphs: what a terminal without Unicode gets for each character.

A picture is composed once, in Unicode. Since each character has one other character of
the same width, it needs no second layout.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from rich.text import Text

__all__ = ["BRAILLE", "can_show", "to_ascii", "to_ascii_text"]

BRAILLE: Final = 0x2800
"""First of the 256 patterns of two columns of four dots."""

_SAMPLE: Final = "╭─█▁⣿●·±⁻¹"
_FILLED: Final = " ..::||##"  # by the number of dots
_PAIRS: Final = {
    "─━═": "-",
    "│┃▕▏": "|",
    "╭╮╰╯└┴┬┼": "+",
    "▁▂▃▄▅▆▇█": "._-~=+*#",
    "▎▍▌": " ",
    "▋▊▉": "#",
    "░": ".",
    "●✓▲✗": "*+!x",
    "⁻⁰¹²³⁴⁵⁶⁷⁸⁹": "-0123456789",
    "·–±°×√→…≤≥α": "|-~ xv>.<>a",
}


def _table() -> dict[int, str]:
    table = {BRAILLE + dots: _FILLED[dots.bit_count()] for dots in range(256)}
    for known, others in _PAIRS.items():
        each = others if len(others) == len(known) else others * len(known)
        table |= {ord(one): other for one, other in zip(known, each, strict=True)}
    return table


_TABLE: Final = _table()


def can_show(encoding: str) -> bool:
    """Whether an encoding has what a picture is drawn with."""
    try:
        _SAMPLE.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def to_ascii(text: str) -> str:
    """The same number of characters, of ASCII alone."""
    return "".join(map(_simple, text.translate(_TABLE)))


def to_ascii_text(text: Text) -> Text:
    """A copy with the same styles."""
    copy = text.copy()
    copy.plain = to_ascii(text.plain)
    return copy


def _simple(character: str) -> str:
    if character.isascii():
        return character
    letter = unicodedata.normalize("NFKD", character)[0]
    return letter if letter.isascii() else "?"
