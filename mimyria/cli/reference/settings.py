"""`mimyria reference settings`: every setting of a campaign file with its sentence."""

from __future__ import annotations

import argparse

from mimyria.cli.parsing import Subparsers

__all__ = ["add_parser"]


def add_parser(subparsers: Subparsers) -> None:
    """Describe the step and its arguments."""
    parser = subparsers.add_parser(
        "settings",
        help="every setting of a campaign file, with its default",
        description="Print a commented campaign file with every setting, its default "
        "and a sentence about it, for one code.",
        epilog="example: mimyria reference settings --code cp2k > campaign.toml",
    )
    parser.add_argument(
        "--code",
        default="cp2k",
        metavar="KIND",
        help="cp2k, pyscf, tblite, ase or files (default: cp2k)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.reference.campaign.settings import settings_text

    print(settings_text(arguments.code))
    return 0
