"""`mimyria-driver doctor`: engines, sockets and journal of this machine."""

from __future__ import annotations

import argparse

from mimyria.cli.doctor import add_options, report
from mimyria.cli.parsing import Subparsers, add_command

__all__ = ["add_parser"]

_DOCTOR = """\
Look at what a run needs beside the library: LAMMPS and i-PI with their well-known
problems, sockets, and a journal in the folder of the runs, written, read back and
damaged on purpose. `mimyria doctor` shows it with all the rest.

exit codes: 0 a run can be made here, 69 there is a problem.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "doctor", "look at engines and journal", _DOCTOR)
    add_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria_driver.doctor import service_checks

    checks = service_checks(arguments.directory, quick=arguments.quick)
    return report(checks, json_wanted=arguments.json)
