"""`mimyria reference plan`: choose configurations and make a folder for each."""

from __future__ import annotations

import argparse

from mimyria.cli.reference.common import add_campaign_argument

__all__ = ["add_parser"]


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
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
        help="members of a committee, for method = uncertainty of [selection]; give "
        "it at least twice",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.reference.campaign import (
        configurations,
        load_campaign_settings,
        plan_campaign,
        read_configurations,
    )

    settings = load_campaign_settings(arguments.campaign)
    code = settings.code()
    scores = None
    if arguments.model:
        from mimyria.models.committee import committee_scores

        frames = (each.frame for each in read_configurations(settings))
        scores = committee_scores(arguments.model, frames)
    chosen = configurations(settings, scores)
    n_fields = len(settings.fields.vectors())
    if arguments.dry_run:
        for configuration in chosen:
            code.check(configuration.frame)
        new, total = len(chosen), len(chosen)
    else:
        plan, tasks = plan_campaign(settings, code, chosen)
        new, total = len(tasks), len(plan.tasks())
    print(
        f"{new} new configurations ({total} in all) of "
        f"{_sizes([each.frame.n_atoms for each in chosen])} atoms, {n_fields} fields "
        f"each: {new * n_fields} single points with {code.name}"
    )
    if settings.fields.stencil == "pgt":
        print("one of them without a field, six for the APT, all 13 for the PGT")
    if arguments.dry_run:
        print("nothing was written (--dry-run)")
    else:
        print(f"planned in {settings.directory}; next: mimyria reference run")
    return 0


def _sizes(sizes: list[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"
