"""`mimyria-driver rebuild`: a new result from the journal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.cli.parsing import add_result_options, say_result

if TYPE_CHECKING:
    from mimyria_driver.settings import SpectrumSettings

__all__ = ["add_parser"]

_REBUILD = """\
Make spectrum.h5 anew from the journal alone: after a result was lost or damaged, or
with another resolution, window or temperature. The journal has all that was measured,
so no trajectory is needed, and the numbers are those of the run, to the bit.

  mimyria-driver rebuild spectrum --resolution 5 --temperature 300
  mimyria-driver rebuild spectrum --window hann --output hann.h5

Of a run with replicas the results of all and their sum are made; with --output only
the sum.

Without --output the run must not be served meanwhile (exit code 75).
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(
        subparsers, "rebuild", "make the result anew from the journal", _REBUILD
    )
    add = parser.add_argument
    add("directory", type=Path, metavar="RUNDIR")
    add_result_options(parser)
    add("--window", default="gaussian", help="gaussian (default), hann, bohman, ...")
    add("--output", type=Path, help="another file than spectrum.h5 of the run")
    parser.set_defaults(run=_rebuild)


def _rebuild(arguments: argparse.Namespace) -> int:
    from mimyria_driver.labels import replica_folders
    from mimyria_driver.mending import rebuild_result
    from mimyria_driver.settings import SpectrumSettings

    settings = SpectrumSettings(
        temperature=arguments.temperature,
        resolution=arguments.resolution,
        window=arguments.window,
    )
    if replica_folders(arguments.directory):
        return _rebuild_replicas(arguments, settings)
    path, pipeline = rebuild_result(arguments.directory, settings, arguments.output)
    say_result(path, pipeline)
    return 0


def _rebuild_replicas(arguments: argparse.Namespace, settings: SpectrumSettings) -> int:
    from mimyria_driver.replicas.mending import rebuild_replicas

    path, result = rebuild_replicas(arguments.directory, settings, arguments.output)
    found = result.provenance
    print(f"{path}: {found['frames']} frames of {found['replicas']} replicas")
    return 0
