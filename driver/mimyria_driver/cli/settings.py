"""`mimyria-driver settings`: all that may stand in a run.toml."""

from __future__ import annotations

import argparse
from typing import Any

from mimyria_driver.settings import reference

__all__ = ["add_parser"]


def add_parser(subparsers: Any) -> None:  # noqa: ANN401
    """Add the command to the parser."""
    command = subparsers.add_parser("settings", help="print all settings of a run.toml")
    command.set_defaults(run=_settings)


def _settings(arguments: argparse.Namespace) -> int:
    print(reference(), end="")
    return 0
