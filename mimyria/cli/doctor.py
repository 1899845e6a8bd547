"""`mimyria doctor`: what is installed, what works, how fast it is, what to do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimyria.cli.parsing import Subparsers, add_command

if TYPE_CHECKING:
    from mimyria.doctor import Check

__all__ = ["BROKEN", "add_options", "add_parser", "report"]

BROKEN: Final = 69
"""Exit code where no spectrum can be made: something that is needed is not there."""

_DOCTOR: Final = """\
Look at this machine: Python and packages, engines, compiler and GPU, memory, disk and
limits; measure which operator the networks take and how fast it is; and test the whole
way from a model to a spectrum against numbers that are known. The latter two take about
ten seconds, and --quick does without.

  ok        as it should be
  -         optional, and not here
  warning   works, but slower or poorer than it could
  PROBLEM   no spectrum can be made like this

Every line that is not ok says what to do. Nothing is changed. --json is for support
tickets: it has no names of users or folders at home, and no other variables of the
environment than those of threads.

exit codes: 0 spectra can be made here, 69 there is a problem. docs/doctor.md.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    title = "say what is installed and works here, and how fast"
    parser = add_command(subparsers, "doctor", title, _DOCTOR)
    add_options(parser)
    parser.set_defaults(run=_run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the doctors of both programs take."""
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--quick", action="store_true", help="without the self-test")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where runs will be: its disk is looked at (default: here)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.doctor.checks import all_checks

    checks = all_checks(arguments.directory, quick=arguments.quick)
    return report(checks, json_wanted=arguments.json)


def report(checks: Sequence[Check], *, json_wanted: bool) -> int:
    """Run checks and print what they find, as it comes; the exit code."""
    import json

    from mimyria.doctor import as_document, as_lines, run_checks, summary, worst

    parts = []
    say, wipe = _progress()
    for part in run_checks(checks, say):
        wipe()
        parts.append(part)
        if not json_wanted:
            for line in as_lines(part):
                _print(line)
    findings = [finding for part in parts for finding in part.findings]
    if json_wanted:
        print(json.dumps(as_document(parts), indent=1))
    else:
        _print(summary(findings))
    return BROKEN if worst(findings) == "problem" else 0


def _progress() -> tuple[Callable[[str], None], Callable[[], None]]:
    """What says on a terminal what is being looked at, and what wipes that away."""
    if not sys.stderr.isatty():
        return (lambda title: None), (lambda: None)

    def say(title: str) -> None:
        print(f"\r… {title} ", end="", file=sys.stderr, flush=True)

    def wipe() -> None:
        print("\r" + " " * 60 + "\r", end="", file=sys.stderr, flush=True)

    return say, wipe


def _print(line: str) -> None:
    """Print, with what the encoding has."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding), flush=True)
