"""`mimyria reference plan`: choose configurations and make a folder for each."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import add_campaign_argument
from mimyria.targets import TARGETS

if TYPE_CHECKING:
    from mimyria.reference.campaign import Settings

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "plan",
        help="choose configurations, make a folder for each; computes nothing",
        description="Choose configurations and make a folder for each. What is planned "
        "already stays as it is, so a campaign grows by planning again with more "
        "frames.",
        epilog="example: mimyria reference plan campaign.toml --dry-run",
    )
    add_campaign_argument(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be planned"
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="MODEL",
        help="a committee, for selection.method = 'uncertain', or each of its members",
    )
    parser.add_argument(
        "--target",
        choices=sorted(TARGETS),
        help="by what they disagree about, where models are joint ones",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.reference.campaign import (
        configurations,
        load_campaign_settings,
        new_tasks,
        plan_campaign,
    )

    settings = load_campaign_settings(arguments.campaign)
    code = settings.code()
    chosen = configurations(settings, _scores(settings, arguments))
    if arguments.dry_run:
        plan, new = new_tasks(settings, code, chosen)
        total = len(plan.tasks()) + len(new)
    else:
        plan, new = plan_campaign(settings, code, chosen)
        total = len(plan.tasks())
    n_fields = len(plan.fields)
    print(
        f"{len(new)} new configurations ({total} in all)"
        f"{_sizes([each.frame.n_atoms for each in new.values()])}, {n_fields} fields "
        f"each: {len(new) * n_fields} single points with {code.name}"
    )
    if new and settings.fields.stencil == "pgt":
        print("one of them without a field, six for the APT, all 13 for the PGT")
    if arguments.dry_run:
        print("nothing was written (--dry-run)")
    else:
        print(f"planned in {settings.directory}; next: mimyria reference run")
    return 0


def _scores(settings: Settings, arguments: argparse.Namespace) -> list[float] | None:
    """Disagreement of the committee on every frame, where frames are chosen by it."""
    from mimyria.errors import SettingsError

    models: list[str] = arguments.model
    selection = settings.selection
    by_models = selection is not None and selection.method == "uncertain"
    if by_models and not models:
        raise SettingsError(
            "selection.method = 'uncertain' goes by the disagreement of a committee: "
            "give --model, once for each file."
        )
    if models and not by_models:
        raise SettingsError(
            "--model is used only where [selection] has method = 'uncertain'. Write "
            "that into the campaign file, or leave --model out."
        )
    if not models:
        return None
    from mimyria.models.committee import committee_scores
    from mimyria.reference.campaign import read_configurations

    frames = (each.frame for each in read_configurations(settings))
    return committee_scores(models, frames, target=arguments.target)


def _sizes(sizes: list[int]) -> str:
    if not sizes:
        return ""
    low, high = min(sizes), max(sizes)
    return f" of {low if low == high else f'{low} to {high}'} atoms"
