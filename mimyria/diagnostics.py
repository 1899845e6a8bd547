"""Diagnostics: what a run says about its own soundness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["VERDICTS", "Diagnostic", "report", "summary", "worst"]

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


def worst(diagnostics: Sequence[Diagnostic]) -> str:
    """The worst verdict of all; ok where there is none."""
    ranks = [VERDICTS.index(diagnostic.verdict) for diagnostic in diagnostics]
    return VERDICTS[max(ranks, default=0)]


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """A few words for a line of progress, such as `f-sum 0.99 ok`."""
    if not diagnostics:
        return ""
    leading = [d for d in diagnostics if d.name.startswith("f-sum")][:1]
    texts = [f"f-sum {d.value:.3g} {d.verdict}" for d in leading]
    bad = [d for d in diagnostics if d.verdict != "ok" and d not in leading]
    found = worst(bad)
    named = [d.name for d in bad if d.verdict == found]
    if named:
        more = f" and {len(named) - 1} more" if len(named) > 1 else ""
        texts.append(f"{found}: {named[0]}{more}")
    elif not texts:
        texts.append("checks ok")
    return ", ".join(texts)


def report(diagnostics: Sequence[Diagnostic]) -> list[str]:
    """A table for people, with a sentence for whatever is not ok."""
    if not diagnostics:
        return []
    width = max(len(d.name) for d in diagnostics)
    lines = [f"Checks: {worst(diagnostics)}"]
    for d in diagnostics:
        error = f" ± {d.error:.2g}" if math.isfinite(d.error) else ""
        number = f"{d.value:.4g}{error}"
        lines.append(
            f"  {d.verdict:5} {d.name:{width}}  {number:18} expected {d.expected:.4g}"
        )
        if d.verdict != "ok":
            lines.append(f"        {d.sentence}")
    return lines
