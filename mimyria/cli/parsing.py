"""What the commands share: how one is added to its parser."""

from __future__ import annotations

import argparse
from typing import TypeAlias

__all__ = ["Subparsers", "add_command"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(
    subparsers: Subparsers, name: str, title: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    """A sub-command whose texts keep their lines.

    Args:
        subparsers: where it is added.
        name: of the command.
        title: its line in the list of commands.
        text: above its options.
        epilog: below them.
    """
    return subparsers.add_parser(
        name,
        help=title,
        description=text,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
