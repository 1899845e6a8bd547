"""`mimyria committee`: several trained networks as one model."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "committee",
        help="join trained networks to one model that knows how sure it is",
        description="Join networks that differ in the seed of their training only. The "
        "committee predicts their mean; how far they disagree is calibrated on the "
        "held-out frames. `mimyria train --members N` does all of it in one command; "
        "this one is for members that were trained side by side.",
        epilog="example: mimyria train frames.extxyz --target apt --seed 2 "
        "--split-seed 1 --output 2.mimyria (and others), then mimyria committee "
        "1.mimyria 2.mimyria 3.mimyria --data frames.extxyz --output apt.mimyria",
    )
    parser.add_argument("members", nargs="+", type=Path, metavar="MEMBER.mimyria")
    parser.add_argument(
        "--data", type=Path, required=True, help="what they were trained on"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL.mimyria")
    add_text_options(parser)
    parser.set_defaults(run=_run)


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Options for what only a person can say of a model."""
    parser.add_argument("--name", help="name of the model (default: that of the file)")
    parser.add_argument("--description", default="", help="one paragraph for the card")
    parser.add_argument(
        "--not-for",
        action="append",
        default=[],
        metavar="SENTENCE",
        help="what the model is not for (may be given again)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.data.dataset import read_dataset
    from mimyria.models import model_card, read_metadata
    from mimyria.training import ModelText, join_members

    targets = read_metadata(arguments.members[0]).targets
    dataset = read_dataset(arguments.data, targets)
    text = ModelText(
        arguments.name or arguments.output.stem,
        arguments.description,
        tuple(arguments.not_for),
    )
    metadata = join_members(arguments.members, dataset, text, arguments.output)
    print(model_card(metadata))
    print(f"wrote {arguments.output}")
    return 0
