"""`mimyria export`: a deployed TorchScript file from a model file."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "export",
        help="make the TorchScript file that production runs load",
        description="Make a deployed TorchScript file from a model file. It carries "
        "the model's metadata and is checked against its example at once.",
        epilog="example: mimyria export apt.mimyria apt.pt",
    )
    parser.add_argument("model", help="model file, or the name of a shipped model")
    parser.add_argument("deployed", type=Path, help="TorchScript file to write")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float64"),
        help="arithmetic (default: that of the model)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.models import export_model, load_model, resolve_model

    export_model(resolve_model(arguments.model), arguments.deployed, arguments.dtype)
    metadata = load_model(arguments.deployed).metadata
    print(
        f"wrote {arguments.deployed}: {metadata.name}, {metadata.dtype}, self-test ok"
    )
    return 0
