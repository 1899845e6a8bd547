"""Running: one check after the other, each on its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mimyria.doctor.finding import Finding
from mimyria.errors import one_line

__all__ = ["Check", "Part", "run_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        title: what is looked at.
        look: looks; anything it raises is a finding.
        vital: whether no spectrum can be made where it fails.
    """

    title: str
    look: Callable[[], Iterable[Finding]]
    vital: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a check has found.

    Attributes:
        title: of the check.
        findings: in order.
        seconds: how long it took.
    """

    title: str
    findings: tuple[Finding, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """In plain values."""
        return {
            "title": self.title,
            "seconds": round(self.seconds, 3),
            "findings": [finding.as_dict() for finding in self.findings],
        }


def run_checks(
    checks: Sequence[Check], begin: Callable[[str], None] = lambda title: None
) -> Iterator[Part]:
    """What each check finds, as it comes.

    Args:
        checks: in order.
        begin: called with the title of each before it is run.
    """
    for check in checks:
        begin(check.title)
        started = time.monotonic()
        findings: list[Finding] = []
        try:
            findings.extend(check.look())
        except Exception as error:  # one check must not cost the others
            findings.append(_failed(check, error))
        yield Part(check.title, tuple(findings), time.monotonic() - started)


def _failed(check: Check, error: Exception) -> Finding:
    kind = type(error).__name__
    return Finding(
        f"check of {check.title}",
        f"{kind}: {one_line(error)}",
        "that it runs to its end",
        "problem" if check.vital else "warning",
        "see the lines above; where nothing else is wrong, report it with --json",
    )
