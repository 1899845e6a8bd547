"""`mimyria-driver status`: what a driver is doing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from mimyria_driver.cli.parsing import add_command

__all__ = ["add_parser"]

_STATUS = """\
Show what a driver is doing, from the status.json in its run folder. The exit code is 0
while it is well or has ended well, 1 where it has not been heard of for 30 s, and 2
where it failed.
"""

_BAD: Final = {"failed": 2}


def add_parser(subparsers: Any) -> None:  # noqa: ANN401
    """Add the command to the parser."""
    parser = add_command(subparsers, "status", "show what a driver is doing", _STATUS)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    from mimyria_driver.monitor import describe_status, read_status

    status = read_status(arguments.directory)
    if arguments.json:
        print(json.dumps(status, indent=1))
    else:
        print(describe_status(status))
    return 1 if status["stale"] else _BAD.get(status["state"], 0)
