"""What the commands share: how one is added."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_command"]


def add_command(
    subparsers: Any,  # noqa: ANN401
    name: str,
    title: str,
    text: str,
) -> argparse.ArgumentParser:
    """A sub-command whose description keeps its lines."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=title,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser
