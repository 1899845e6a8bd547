"""`mimyria-driver status`: what a driver is doing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import OutputError

__all__ = ["add_parser"]

_MOST_REPLICAS: Final = 10

_STATUS = """\
Show what a driver is doing, from the status.json in its run folder, in one line, and
below it, of a run with replicas, a line for each of the ten worst; --json has all. The
exit code is as Nagios has it:

  0 OK       it is well, or has ended well, or waits to be started again
  1 WARN     something is not as it should be: the disk will be full within 2 h, the
             evaluator is replaced again and again, the job ends before the wanted
             error is reached, a sum rule is wrong
  2 CRIT     it failed, it is gone without a word, or no frame has become durable for
             15 min while the engine is there
  3 UNKNOWN  there is no status, or it is older than 30 s

The limits are those of [alerts] in run.toml.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "status", "show what a driver is doing", _STATUS)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.set_defaults(run=_status)


def _status(arguments: argparse.Namespace) -> int:
    from mimyria_driver.replicaviews import replica_lines
    from mimyria_driver.status import read_status
    from mimyria_driver.verdict import UNKNOWN, WORDS, judge

    try:
        status = read_status(arguments.directory)
        code, reason = judge(status)
    except OutputError as error:
        status, code, reason = {}, UNKNOWN, " ".join(str(error).split())
    if arguments.json:
        verdict = {"verdict": WORDS[code], "exit_code": code, "reason": reason}
        print(json.dumps({**verdict, **status}, indent=1))
    else:
        print(f"{WORDS[code]}: {reason}")
        for line in replica_lines(status.get("replicas"), _MOST_REPLICAS):
            print(f"  {line}")
    return code
