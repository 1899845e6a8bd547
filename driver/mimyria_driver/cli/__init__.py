"""The command `mimyria-driver`: the service that listens to an MD engine."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
from collections.abc import Sequence

from mimyria.cli.errors import run_command
from mimyria.cli.parsing import new_parser
from mimyria_driver.cli import (
    bec,
    doctor,
    hook,
    init,
    join,
    rebuild,
    repair,
    replay,
    run,
    settings,
    status,
    verify,
    watch,
)
from mimyria_driver.folders import private_files
from mimyria_driver.lines import shown

__all__ = ["build_parser", "main"]

_DESCRIPTION = """\
Spectra while the molecular dynamics runs. The driver receives frames from LAMMPS or
i-PI, evaluates two networks on each (atomic polar tensors for IR, polarizability
gradients for Raman), and keeps the time correlation functions and spectra up to date.
"""


def build_parser() -> argparse.ArgumentParser:
    """The complete parser of `mimyria-driver`."""
    parser, subparsers = new_parser(
        "mimyria-driver", _DESCRIPTION, "show tracebacks and details"
    )
    mending = (verify, rebuild, repair)
    looking = (status, watch, doctor)
    making = (init, hook, settings)
    for command in (run, replay, join, bec, *looking, *mending, *making):
        command.add_parser(subparsers)
    if importlib.util.find_spec("mimyria_driver.demo"):
        importlib.import_module("mimyria_driver.demo").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    # HDF5 would load any library in these folders into the process.
    os.environ.pop("HDF5_PLUGIN_PATH", None)
    with private_files(), shown(debug=arguments.debug):
        return run_command(arguments.run, arguments, debug=arguments.debug)
