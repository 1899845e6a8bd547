"""Service: what `mimyria-driver doctor` says, asked in another process.

The library knows nothing of the service, not even here.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mimyria.doctor.asking import ask
from mimyria.doctor.finding import Finding
from mimyria.errors import FormatError

__all__ = ["look_at_service"]

_MODULE: Final = "mimyria_driver"
_SECONDS: Final = 180.0


def look_at_service(folder: Path, *, quick: bool) -> Iterator[Finding]:
    """Engines, sockets and journal.

    Args:
        folder: of the runs.
        quick: leave out what takes long.
    """
    if importlib.util.find_spec(_MODULE) is None:
        yield Finding(
            "mimyria-driver", "is not installed", "", "problem", "install mimyria again"
        )
        return
    command = [sys.executable, "-m", _MODULE, "doctor", "--json"]
    command += ["--directory", str(folder.resolve())]
    answer = ask([*command, *(["--quick"] if quick else [])], _SECONDS)
    try:
        document = json.loads(answer.text)
        for part in document["parts"]:
            yield from map(Finding.from_dict, part["findings"])
    except (ValueError, KeyError, TypeError, FormatError):
        yield Finding(
            "mimyria-driver",
            f"does not answer: {answer.reason}",
            "an answer of `mimyria-driver doctor --json`",
            "problem",
            "run `mimyria-driver --debug doctor`, which shows why",
        )
