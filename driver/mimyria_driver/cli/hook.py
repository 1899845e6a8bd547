"""`mimyria-driver hook`: the file that LAMMPS needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import OutputError

__all__ = ["add_parser"]

_HOOK = """\
Write the one file that LAMMPS needs inside its own Python (standard library and pyzmq
only). Its first lines say how to use it with `fix python/invoke`.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "hook", "write the file that LAMMPS needs", _HOOK)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=_hook)


def _hook(arguments: argparse.Namespace) -> int:
    from mimyria_driver.lammps.bundle import bundle_hook

    path: Path = arguments.file
    try:
        path.write_text(bundle_hook(), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
    print(f"wrote {path}; its first lines say how LAMMPS uses it")
    return 0
