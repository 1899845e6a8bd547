"""`mimyria info`: the model card of a model file."""

from __future__ import annotations

import argparse

from mimyria.cli.parsing import Subparsers

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "info",
        help="show what a model is and how good it is",
        description="Print the model card of a model file or a deployed file: data, "
        "errors for each element and irrep, what the model is not for; and the SHA-256 "
        "of the file, which models.apt_sha256 of run.toml can demand.",
        epilog="example: mimyria info water-compact-apt",
    )
    parser.add_argument(
        "model", nargs="?", help="a file, or the name of a shipped model"
    )
    parser.add_argument(
        "--json", action="store_true", help="all metadata as JSON, for programs"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    import hashlib
    import json

    from mimyria.models import (
        model_card,
        read_metadata,
        resolve_model,
        shipped_models,
    )

    if arguments.model is None:
        print("models that come with mimyria:")
        for name, path in sorted(shipped_models().items()):
            titles = [target.title for target in read_metadata(path).targets]
            print(f"  {name:20} {' and '.join(titles)}")
        return 0
    path = resolve_model(arguments.model)
    metadata = read_metadata(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if arguments.json:
        print(json.dumps({**metadata.as_dict(), "file_sha256": digest}, indent=1))
    else:
        print(model_card(metadata), end="")
        print(f"\nSHA-256 of {path}: {digest}")
    return 0
