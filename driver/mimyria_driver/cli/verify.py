"""`mimyria-driver verify`: whether a run folder holds what it should."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria.errors import JournalError

__all__ = ["add_parser"]

_VERIFY = """\
Check a run folder; nothing is changed, and a driver may run meanwhile. Looked at are

  the journal     the checksum of every record, and that steps rise and segments join
  spectrum.h5     its own checksum, and that it is the fold of the journal up to the
                  record that it names, number for number

Of a run with replicas each is checked, and that spectrum.h5 is the sum of all.

An unfinished record at the end of the journal is no fault: a killed driver leaves one,
and the next one cuts it off. A bad record before others that were safe on disk is
damage: a disk or a copy has changed it. See `mimyria-driver repair --help` then.

exit codes: 0 all is sound, 74 it is not; each line says what was found.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "verify", "check a run folder", _VERIFY)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from mimyria_driver.inspection import inspect_run
    from mimyria_driver.labels import replica_folders

    if replica_folders(arguments.directory):
        from mimyria_driver.replicas.inspection import inspect_replicas

        findings = inspect_replicas(arguments.directory)
    else:
        findings = inspect_run(arguments.directory)
    for line in findings.lines:
        print(line, file=sys.stderr if line in findings.problems else sys.stdout)
    if findings.problems:
        return JournalError.exit_code
    print(f"{arguments.directory}: all is sound")
    return 0
