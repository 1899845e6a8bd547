"""Verdict: how a run is, in a word, an exit code and a reason, as Nagios has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from mimyria.timetext import duration
from mimyria_driver.snapshot import LIVE
from mimyria_driver.status import SCHEMA_VERSION
from mimyria_driver.surroundings import boot_id, process_runs
from mimyria_driver.views import describe_status

__all__ = ["CRITICAL", "OK", "UNKNOWN", "WARNING", "WORDS", "is_gone", "judge"]

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 3
WORDS: Final = ("OK", "WARN", "CRIT", "UNKNOWN")


def judge(status: Mapping[str, Any]) -> tuple[int, str]:
    """The exit code and why.

    Args:
        status: as `read_status` gives it.

    Returns:
        `OK`, `WARNING`, `CRITICAL` or `UNKNOWN`, and one line.
    """
    version = status.get("schema_version", SCHEMA_VERSION)
    if version > SCHEMA_VERSION:
        return UNKNOWN, f"its status is of version {version}; update mimyria"
    line = describe_status(status)
    if status["state"] == "failed":
        return CRITICAL, line
    if status["state"] in LIVE and is_gone(status):
        since = duration(status["age"])
        return CRITICAL, (
            f"the driver is gone without a word (process {status['process']}, "
            f"{since} ago); all acknowledged frames are safe, start it again"
        )
    if status["stale"]:
        return UNKNOWN, line
    if status["state"] not in (*LIVE, "ended", "stopped"):
        return UNKNOWN, line
    for level, code in (("critical", CRITICAL), ("warning", WARNING)):
        texts = [c["text"] for c in _present(status) if c["level"] == level]
        if texts:
            return code, f"{'; '.join(texts)} · {line}"
    return OK, line


def _present(status: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """Conditions that still mean something: of a run that has gone, its checks."""
    live = status["state"] in LIVE
    found = status.get("conditions", ())
    return [each for each in found if live or each["name"] == "checks"]


def is_gone(status: Mapping[str, Any]) -> bool:
    """Whether its process is known to be no more: same machine, same boot."""
    boot = status.get("boot", "")
    if not boot or boot != boot_id() or status.get("host") != os.uname().nodename:
        return False
    return not process_runs(status["process"])
