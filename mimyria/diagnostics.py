"""Diagnostics: what a run says about its own soundness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["VERDICTS", "Diagnostic"]

VERDICTS: Final = ("ok", "look", "wrong")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One number that is known beforehand, and what was found instead.

    Attributes:
        name: what was looked at.
        value: what was found.
        expected: what it should be.
        error: statistical standard error of `value`.
        verdict: one of `VERDICTS`.
        sentence: what it means for the user.
    """

    name: str
    value: float
    expected: float
    error: float
    verdict: str
    sentence: str
