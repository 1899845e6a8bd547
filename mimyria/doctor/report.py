"""Report: findings as lines for people, and as a document for support tickets.

Names of users and of home folders do not go into either.
"""

from __future__ import annotations

import getpass
import platform
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from mimyria import __version__
from mimyria.doctor.finding import VERDICTS, Finding, worst
from mimyria.doctor.running import Part

__all__ = ["as_document", "as_lines", "scrubbed", "summary"]

_SIGNS: Final = {"ok": "ok", "absent": "-", "warning": "warning", "problem": "PROBLEM"}
_NAME: Final = 24
_INDENT: Final = " " * (11 + _NAME)
_LEAST_NAME: Final = 3
_COMMON: Final = ("root", "user", "mimyria", "home", "docker", "runner", "build")


def as_lines(part: Part, width: int = 100) -> list[str]:
    """A part for people: the verdict, the name, what was found, what to do."""
    lines = [f"{part.title} ({part.seconds:.1f} s)"]
    for finding in part.findings:
        first = f"  {_SIGNS[finding.verdict]:<8} {finding.name:<{_NAME}}"
        text = finding.found
        if finding.wanted and finding.verdict in ("warning", "problem"):
            text += f"; wanted: {finding.wanted}"
        lines += _wrapped(f"{first}{text}", width)
        if finding.advice:
            lines += _wrapped(f"{_INDENT}→ {finding.advice}", width)
    return [scrubbed(line) for line in lines]


def as_document(parts: Sequence[Part]) -> dict[str, Any]:
    """All parts for programs."""
    findings = [finding for part in parts for finding in part.findings]
    document = {
        "schema_version": 1,
        "mimyria": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "verdict": worst(findings),
        "parts": [part.as_dict() for part in parts],
    }
    cleaned: dict[str, Any] = _all_scrubbed(document)
    return cleaned


def summary(findings: Iterable[Finding]) -> str:
    """How many there are of each verdict, and what that means."""
    found = list(findings)
    counts = {
        name: sum(finding.verdict == name for finding in found) for name in VERDICTS
    }
    text = ", ".join(
        f"{number} {name}{'s' if number > 1 and name in VERDICTS[2:] else ''}"
        for name, number in counts.items()
        if number
    )
    if counts["problem"]:
        return f"{text}: no spectrum can be made like this"
    return f"{text}: spectra can be made here"


def scrubbed(text: str) -> str:
    """A text without the home folder and the name of the user."""
    home = str(Path.home())
    if len(home) > 1:
        text = text.replace(home, "~")
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no such user: a container
        return text
    if len(name) < _LEAST_NAME or name in _COMMON:
        return text
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "USER", text)


def _all_scrubbed(value: Any) -> Any:  # noqa: ANN401 (any value of JSON)
    if isinstance(value, str):
        return scrubbed(value)
    if isinstance(value, dict):
        return {key: _all_scrubbed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_all_scrubbed(each) for each in value]
    return value


def _wrapped(line: str, width: int) -> list[str]:
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=_INDENT,
        drop_whitespace=True,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [line]
