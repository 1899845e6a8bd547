"""Labels: which replica of a run this is, and what is named after it.

    RUNDIR/replicas/007/     the run folder of replica 7
    {replica}                stands for 007 in addresses and paths

A thread says once which replica it serves, so that what it logs has the number.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Final

__all__ = [
    "MOST_REPLICAS",
    "PLACEHOLDER",
    "REPLICA",
    "fill",
    "label",
    "replica_folder",
    "replica_folders",
]

MOST_REPLICAS: Final = 999
PLACEHOLDER: Final = "{replica}"
REPLICA: Final[ContextVar[int | None]] = ContextVar("replica", default=None)
"""The replica that is served where this is asked for; None: a run without any."""

_FOLDER: Final = "replicas"


def label(replica: int) -> str:
    """Its number as it stands in names, as 007."""
    return f"{replica:03d}"


def fill(text: str, replica: int) -> str:
    """A text with the label in its place."""
    return text.replace(PLACEHOLDER, label(replica))


def replica_folder(folder: Path, replica: int) -> Path:
    """The run folder of a replica of the run in `folder`."""
    return folder / _FOLDER / label(replica)


def replica_folders(folder: Path) -> list[Path]:
    """The run folders of all replicas that are there, by number."""
    inner = folder / _FOLDER
    if not inner.is_dir():
        return []
    return sorted(p for p in inner.iterdir() if p.name.isdigit() and p.is_dir())
