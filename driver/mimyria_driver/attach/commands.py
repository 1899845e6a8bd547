"""The commands that a user types next, as a shell takes them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

__all__ = ["driver_command", "entering", "from_folder", "quoted", "watch_command"]


def quoted(*words: str) -> str:
    """Words of one command."""
    return " ".join(map(shlex.quote, words))


def entering(folder: Path) -> list[str]:
    """The `cd` that leads there, or nothing if one is there already."""
    away = os.path.relpath(folder)
    return [] if away == "." else [quoted("cd", min(away, str(folder), key=len))]


def driver_command(folder: Path, output: Path) -> str:
    """The driver in the background.

    Args:
        folder: where the shell is.
        output: folder of run.toml.
    """
    return (
        quoted("mimyria-driver", "run", from_folder(folder, output, "run.toml")) + " &"
    )


def watch_command(folder: Path, output: Path) -> str:
    """The view of it."""
    return quoted("mimyria-driver", "watch", from_folder(folder, output, "spectrum"))


def from_folder(folder: Path, output: Path, name: str) -> str:
    """A new file as it is named in the folder where the shell is."""
    away = os.path.normpath(os.path.join(os.path.relpath(output, folder), name))
    return min(away, str(output.resolve() / name), key=len)
