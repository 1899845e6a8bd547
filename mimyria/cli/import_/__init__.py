"""`mimyria import`: data and models of other programs, in our files.

Each kind is a module of this package with `add_parser(subparsers)`. The package has an
underscore because `import` is a word of Python.
"""

from __future__ import annotations

import importlib
from typing import Final

from mimyria.cli.parsing import Subparsers

__all__ = ["add_parser"]

KINDS: Final = ("labels", "model")


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and what it imports."""
    parser = subparsers.add_parser(
        "import",
        help="labels and models that other programs made",
        description="Take over data and models of other programs.",
    )
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name in KINDS:
        importlib.import_module(f"mimyria.cli.import_.{name}").add_parser(kinds)
