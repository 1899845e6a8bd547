"""The command `mimyria`: finds the sub-command, runs it, turns errors into one line.

Each sub-command is a module of this package with `add_parser(subparsers)`, which sets
`run=function`; the function takes the parsed arguments and returns the exit code. The
modules import what is heavy (torch) only inside that function.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from mimyria.cli.errors import run_command
from mimyria.cli.parsing import new_parser

__all__ = ["build_parser", "main"]

# Modules; each gives its command its name.
COMMANDS: Final = (
    "reference",
    "autotrain",
    "import_",
    "train",
    "committee",
    "export",
    "predict",
    "info",
    "spectrum",
    "compare",
    "merge",
    "table",
    "plot",
    "vdos",
    "doctor",
)

_DESCRIPTION = """\
IR and Raman spectra from molecular dynamics, by networks that predict the atomic polar
tensor (APT) and the polarizability gradient tensor (PGT).

a typical way through:
  mimyria reference plan campaign.toml (tensors from DFT; then run, collect)
  mimyria train frames.extxyz --target apt --output apt.mimyria
  mimyria info apt.mimyria
  mimyria-driver run run.toml          (beside a running LAMMPS or i-PI)
  mimyria spectrum run/spectrum.h5     (other windows, without a new run)
  mimyria compare run/spectrum.h5 water   (beside the experiment)
"""


def build_parser() -> argparse.ArgumentParser:
    """The complete parser of `mimyria`."""
    parser, subparsers = new_parser(
        "mimyria", _DESCRIPTION, "show the traceback of an error"
    )
    for name in COMMANDS:
        importlib.import_module(f"mimyria.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    return run_command(arguments.run, arguments, debug=arguments.debug)


if __name__ == "__main__":
    sys.exit(main())
