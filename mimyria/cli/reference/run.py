"""`mimyria reference run`: compute what is missing, as often as need be."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.cli.reference.common import (
    add_campaign_argument,
    finish_campaign,
    open_campaign,
)

if TYPE_CHECKING:
    from mimyria.reference.campaign import CampaignStatus

__all__ = ["add_parser"]

INCOMPLETE = 75  # EX_TEMPFAIL: run it again, or look at what failed


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "run",
        help="compute what is missing",
        description="Compute what is missing. Stop it any time, by Ctrl-C or kill: "
        "every finished point is kept, and the same command goes on. A calculation "
        "that fails costs its own configuration only. Ends with code 75 when "
        "something is still missing.",
        epilog="example: mimyria reference run campaign.toml",
    )
    add_campaign_argument(parser)
    parser.add_argument(
        "--again",
        action="store_true",
        help="also try what has failed too often before",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings, plan = open_campaign(arguments.campaign)
    status = finish_campaign(plan, settings, again=arguments.again)
    return _verdict(status)


def _verdict(status: CampaignStatus) -> int:
    from mimyria.errors import FormatError

    if not status.tasks:
        raise FormatError("the campaign has no task. First: mimyria reference plan")
    if status.count("done") == len(status.tasks):
        print("all tasks are done; next: mimyria reference collect")
        return 0
    failed = status.count("failed")
    print(
        f"{status.count('done')} of {len(status.tasks)} tasks are done, {failed} "
        "failed; mimyria reference status says why",
        file=sys.stderr,
    )
    return INCOMPLETE
