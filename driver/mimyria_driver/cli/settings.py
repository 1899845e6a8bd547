"""`mimyria-driver settings`: all that may stand in a run.toml."""

from __future__ import annotations

import argparse
import json

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.settings import reference, schema

__all__ = ["add_parser"]

_SETTINGS = """\
Print a commented run.toml with all settings, their defaults and a sentence for each;
with --schema the JSON schema of the file (draft 7), by which editors check and complete
it. Even Better TOML, Taplo and others take it from the first line of the file,

  #:schema file:///PATH/run.schema.json

which `mimyria-driver init` writes.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers, "settings", "print all settings of a run.toml", _SETTINGS
    )
    parser.add_argument(
        "--schema", action="store_true", help="print the JSON schema instead"
    )
    parser.set_defaults(run=_settings)


def _settings(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        print(json.dumps(schema(), indent=1, ensure_ascii=False))
    else:
        print(reference(), end="")
    return 0
