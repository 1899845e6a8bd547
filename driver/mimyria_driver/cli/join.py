"""`mimyria-driver join`: one run folder from several."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.cli.parsing import add_result_options, say_result

__all__ = ["add_parser"]

_JOIN = """\
Make one run folder from several, from their journals. A run that continues the one
before it (its first frame is the next one, or it repeats the last ones to the bit) is
put behind it without a border: the result is that of the whole run, to the bit. Any
other run becomes a segment of its own, as by `mimyria merge`.

  mimyria-driver join monday tuesday --directory both --temperature 300
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "join", "make one run folder from several", _JOIN)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNDIR")
    add("--directory", type=Path, required=True, help="new run folder")
    add_result_options(parser)
    parser.set_defaults(run=_join)


def _join(arguments: argparse.Namespace) -> int:
    from mimyria_driver.joining import join_runs
    from mimyria_driver.settings import SpectrumSettings

    settings = SpectrumSettings(
        temperature=arguments.temperature, resolution=arguments.resolution
    )
    joined, pipeline = join_runs(arguments.runs, arguments.directory, settings)
    for index, run in enumerate(joined):
        how = "continues the one before" if run.continues else "a segment of its own"
        print(f"{run.folder}: {run.n_frames} frames" + (f", {how}" if index else ""))
    say_result(arguments.directory, pipeline)
    return 0
