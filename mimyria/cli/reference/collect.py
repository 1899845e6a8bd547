"""`mimyria reference collect`: what is finished becomes a reference set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import add_campaign_argument

if TYPE_CHECKING:
    from mimyria.reference.referenceset import ReferenceFrame

__all__ = ["add_parser"]

_SUFFIXES = (".extxyz", ".xyz")


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "collect",
        help="tensors of what is finished, with residuals and a data sheet",
        description="Fit the tensors of all finished tasks and write NAME.extxyz "
        "(tensors, residuals, provenance), NAME.npz (fields and forces) and NAME.md "
        "(the data sheet). What failed or is not finished is named, and left out.",
        epilog="example: mimyria reference collect campaign.toml --output water.extxyz",
    )
    add_campaign_argument(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="NAME.extxyz")
    parser.add_argument(
        "--add-to",
        type=Path,
        metavar="OLD.extxyz",
        help="an earlier set, with its npz file beside it, whose frames are kept",
    )
    parser.add_argument(
        "--local-field",
        action="store_true",
        help="clusters only: tensors by the field in the liquid, not by that outside "
        "the cluster, which its surface weakens (docs/reference.md)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.errors import FormatError, SettingsError
    from mimyria.reference.campaign import Plan, collect, load_campaign_settings
    from mimyria.reference.datasheet import data_sheet
    from mimyria.reference.referenceset import (
        merged,
        read_reference_set,
        write_reference_set,
    )

    if arguments.output.suffix not in _SUFFIXES:
        raise SettingsError(
            f"--output must end in {' or '.join(_SUFFIXES)}, but is "
            f"'{arguments.output}': the npz and md files are written beside it."
        )
    settings = load_campaign_settings(arguments.campaign)
    plan = Plan.load(settings.directory)
    harvest = collect(plan, settings.code().charge)
    frames = harvest.frames
    if arguments.local_field:
        frames = [frame.in_the_liquid() for frame in frames]
    if arguments.add_to is not None:
        old = read_reference_set(arguments.add_to)
        _tell_other_settings(old, plan.identity)
        frames = merged(old, frames)
    for name, reason in harvest.failed.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    if harvest.unfinished:
        print(f"not finished: {', '.join(harvest.unfinished)}", file=sys.stderr)
    if not frames:
        raise FormatError("no task is finished yet; nothing was written.")
    title = settings.campaign.title or arguments.output.stem
    sheet = data_sheet(frames, title)
    written = write_reference_set(arguments.output, frames, sheet)
    _warn(frames)
    print(f"{len(frames)} configurations in {', '.join(map(str, written))}")
    return 0


def _tell_other_settings(old: Sequence[ReferenceFrame], identity: str) -> None:
    """Tensors of two methods must not be mixed unseen."""
    others = [
        frame.name
        for frame in old
        if frame.info.get("settings_sha256", identity) != identity
    ]
    if others:
        print(
            f"{', '.join(others)}: computed with other settings than the frames of "
            "this campaign; a set for training should be of one method",
            file=sys.stderr,
        )


def _warn(frames: Sequence[ReferenceFrame]) -> None:
    """Say which frames are not to be trusted, and why."""
    from mimyria.reference.outliers import find_outliers

    for frame in frames:
        finding = frame.response().finding
        if finding:
            print(f"{frame.name}: {finding}", file=sys.stderr)
    qualities = [frame.quality() for frame in frames]
    for frame, quality in zip(frames, qualities, strict=True):
        if quality.verdict.level not in ("sound", "unchecked"):
            print(f"{frame.name}: {quality.verdict}", file=sys.stderr)
    for outlier in find_outliers(qualities):
        print(f"{frames[outlier.frame].name} stands out, {outlier}", file=sys.stderr)
