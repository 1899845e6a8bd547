"""`mimyria-driver join`: one run folder from several."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mimyria_driver.cli.parsing import add_command

__all__ = ["add_parser"]

_JOIN = """\
Make one run folder from several, from their journals. A run that continues the one
before it (its first frame is the next one, or it repeats the last ones to the bit) is
put behind it without a border: the result is that of the whole run, to the bit. Any
other run becomes a segment of its own, as by `mimyria merge`.

  mimyria-driver join monday tuesday --directory both --temperature 300
"""


def add_parser(subparsers: Any) -> None:  # noqa: ANN401
    """Add the command to the parser."""
    parser = add_command(subparsers, "join", "make one run folder from several", _JOIN)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNDIR")
    add("--directory", type=Path, required=True, help="new run folder")
    add("--temperature", type=float, help="in K (default: the mean kinetic one)")
    add("--resolution", type=float, default=10.0, help="in cm^-1 (default: 10)")
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
    print(
        f"{arguments.directory}: {pipeline.n_frames} frames in {pipeline.n_segments} "
        f"segment(s), {pipeline.sampled_time:.2f} ps"
    )
    return 0
