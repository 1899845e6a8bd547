"""`mimyria-driver settings`: all that may stand in a run.toml."""

from __future__ import annotations

import argparse

from mimyria.cli.parsing import Subparsers
from mimyria_driver.settings import reference

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    command = subparsers.add_parser("settings", help="print all settings of a run.toml")
    command.set_defaults(run=_settings)


def _settings(arguments: argparse.Namespace) -> int:
    print(reference(), end="")
    return 0
