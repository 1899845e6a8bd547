"""What the commands of both programs share: their parser, and how one is added."""

from __future__ import annotations

import argparse
import sys
from typing import Final, NoReturn, TypeAlias

from mimyria import __version__

__all__ = ["Parser", "Subparsers", "add_command", "new_parser"]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

USAGE: Final = 64


class Parser(argparse.ArgumentParser):
    """A parser whose errors end with the code for wrong usage of sysexits.h.

    argparse's own 2 means "critical" in `mimyria-driver status`, and systemd's unit
    would start a command that nobody can run again and again.
    """

    def error(self, message: str) -> NoReturn:
        """Show the usage and what is wrong with the arguments, and exit."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def new_parser(
    program: str, text: str, debug: str
) -> tuple[argparse.ArgumentParser, Subparsers]:
    """The parser of a program, and where its commands are added.

    Args:
        program: its name.
        text: what it is for; keeps its lines.
        debug: what its option --debug does.
    """
    parser: argparse.ArgumentParser = Parser(
        prog=program,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help=debug)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    return parser, commands


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
