"""Finding: one thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from mimyria.errors import FormatError

__all__ = ["VERDICTS", "Finding", "worst"]

VERDICTS: Final = ("ok", "absent", "warning", "problem")
"""As it should be; optional and not here; slower or poorer than it could be; no
spectrum can be made like this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        found: what it is like.
        wanted: what it should be like.
        verdict: one of `VERDICTS`.
        advice: what to do; empty where nothing is to be done.
        numbers: what was measured, by name with unit, for programs.
    """

    name: str
    found: str
    wanted: str = ""
    verdict: str = "ok"
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the verdict once."""
        if self.verdict not in VERDICTS:
            raise FormatError(
                f"a verdict must be one of {VERDICTS}, but is '{self.verdict}'."
            )

    def as_dict(self) -> dict[str, Any]:
        """In plain values."""
        return {**asdict(self), "numbers": dict(self.numbers)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """Inverse of `as_dict`.

        Raises:
            FormatError: it is no finding.
        """
        try:
            return cls(**values)
        except TypeError as error:
            raise FormatError(f"this is no finding: {error}.") from error


def worst(findings: Iterable[Finding]) -> str:
    """The worst verdict of all; ok where there is none."""
    ranks = [VERDICTS.index(finding.verdict) for finding in findings]
    return VERDICTS[max(ranks, default=0)]
