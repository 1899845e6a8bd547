"""Logical lines of an input script: continuations joined, comments gone, words split.

LAMMPS' own rules: `&` at the end joins the next line, `#` outside of quotes begins a
comment, words are separated by blanks, quotes keep blanks, and three double quotes hold
lines together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Line", "logical_lines", "without_comment", "words_of"]

_TRIPLE: Final = '"""'


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line.

    Attributes:
        text: without comment and continuations.
        first: number of its first physical line, from 1.
        last: number of its last one.
        comment: behind it.
    """

    text: str
    first: int
    last: int
    comment: str = ""


def logical_lines(text: str) -> Iterator[Line]:
    """All logical lines that are not empty."""
    gathered, first = "", 0
    physical = text.split("\n")
    for number, raw in enumerate(physical, start=1):
        gathered += raw.rstrip("\r")
        first = first or number
        if gathered.count(_TRIPLE) % 2 and number < len(physical):
            gathered += "\n"
            continue
        stripped = gathered.rstrip()
        if stripped.endswith("&") and number < len(physical):
            gathered = stripped[:-1]
            continue
        kept = without_comment(gathered)
        if kept.strip():
            comment = gathered[len(kept) :].lstrip("# ").strip()
            yield Line(kept.strip(), first, number, comment)
        gathered, first = "", 0


def without_comment(text: str) -> str:
    """The text before the first `#` that stands in no quotes."""
    for place, letter, quoted in _letters(text):
        if letter == "#" and not quoted:
            return text[:place]
    return text


def words_of(text: str) -> list[str]:
    """Words; those in quotes without them. A quote that never ends takes the rest."""
    words: list[str] = []
    word: str | None = None
    previous = ""
    for _, letter, quoted in _letters(text):
        if letter.isspace() and not quoted:
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + ("" if quoted == "mark" else letter)
        previous = letter
    if word is not None and previous:
        words.append(word)
    return words


def _letters(text: str) -> Iterator[tuple[int, str, str]]:
    """Place, letter, and "" outside of quotes, "in" inside, "mark" for a quote."""
    quote = ""
    place = 0
    while place < len(text):
        letter = text[place]
        triple = text.startswith(_TRIPLE, place)
        mark = _TRIPLE if triple else letter
        if quote == mark or (not quote and letter in "\"'"):
            quote = "" if quote else mark
            for step, each in enumerate(mark):
                yield place + step, each, "mark"
            place += len(mark)
            continue
        yield place, letter, "in" if quote else ""
        place += 1
