"""Which LAMMPS there is on this machine, and whether it can call the hook.

A program is asked in an empty folder of its own whether its Python finds pyzmq, which
takes a second and touches nothing of the user's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Program", "choose_program"]

_NAMES: Final = ("lmp", "lmp_mpi", "lmp_serial", "lmp_stable", "lammps")
_PROBE: Final = 'python probe here """\nimport zmq\ndef probe(): pass\n"""\n'
_PATIENCE: Final = 20.0  # s
_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class Program:
    """A LAMMPS.

    Attributes:
        command: what starts it in a shell.
        hooks: whether it can call the hook.
        why_not: the reason, for people.
    """

    command: str
    hooks: bool
    why_not: str = ""


def choose_program(wanted: str | None, through: str) -> Program:
    """The LAMMPS to be used.

    Args:
        wanted: what the user names; None: the first on the PATH that can call the hook,
            or the first of all.
        through: "hook", "pipe", for which any will do, or "auto".

    Returns:
        The program; `hooks` says whether the hook shall be used.
    """
    if through == "pipe":
        return Program(wanted or "lmp", False)
    programs = [_asked(each) for each in ([wanted] if wanted else _on_path())]
    if not programs:
        said = "is not on the PATH; `make engines` installs it from Debian"
        return Program("lmp", False, said)
    able = [each for each in programs if each.hooks]
    return (able or programs)[0]


def _on_path() -> Iterator[str]:
    """Commands; the first of its name without a path, as one would type it."""
    seen: set[str] = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        for name in _NAMES:
            path = shutil.which(name, path=folder) if folder else None
            if path is None or os.path.realpath(path) in seen:
                continue
            seen.add(os.path.realpath(path))
            yield name if shutil.which(name) == path else path
            if len(seen) >= _MOST:
                return


def _asked(command: str) -> Program:
    with tempfile.TemporaryDirectory(prefix="mimyria-") as folder:
        try:
            done = subprocess.run(
                [command, "-log", "none"],
                input=_PROBE,
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            return Program(command, False, f"cannot be started ({error})")
    if done.returncode == 0 and "ERROR" not in done.stdout:
        return Program(command, True)
    said = done.stdout + done.stderr
    if "Could not process Python" in said:
        return Program(command, False, "its Python has no pyzmq")
    if "LAMMPS" not in said:
        return Program(command, False, "is no LAMMPS")
    return Program(command, False, "has no PYTHON package")
