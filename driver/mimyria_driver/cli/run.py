"""`mimyria-driver run`: serve an engine."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.folders import check_layout
from mimyria_driver.settings import load_settings
from mimyria_driver.signals import STOPPED, StopRequest

__all__ = ["add_parser"]

_RUN = """\
Serve one run as run.toml says. In short, for LAMMPS:

  [source]
  kind = "lammps"
  [models]
  apt = "water-compact-apt"
  pgt = "water-compact-pgt"
  [spectrum]
  temperature = 300.0

`mimyria-driver settings` prints all settings, each with a sentence.

In the run folder (run.directory):
  spectrum.h5        the result, complete at every moment, renewed during the run
  ir.png raman.png   drawn at the end, with vdos.png if velocities are kept
  journal            one checksummed record for each frame; the truth, keep it
  status.json        for `mimyria-driver status` and `watch`
  events.jsonl       a line for everything that happens
  metrics.prom       numbers for Prometheus
  evaluator.log      what the networks' process said

To end early: Ctrl-C, SIGTERM, SIGUSR1 (Slurm's warning), or a file EXIT in the run
folder. What has arrived is finished and saved, after a signal within 5 s. The same
command goes on where the run was.

exit codes: 0 the run is over (or EXIT), 75 stopped by a signal, engine gone, device
failing, no memory left, or another driver has the folder: start again; others say what
is wrong: 65 data, 66 model, 69 device, 70 evaluator, 73 output, 74 journal,
76 protocol, 77 reachable by other users, 78 settings.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "run", "serve an engine as run.toml says", _RUN)
    parser.add_argument("settings", type=Path, metavar="RUN.TOML")
    parser.add_argument(
        "--standby",
        action="store_true",
        help="wait while another driver serves this run, and take over when it is gone",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # First of all: a signal while the rest is loaded shall find its handler.
    with StopRequest() as stop:
        from mimyria_driver.allocation import return_large_blocks
        from mimyria_driver.service import run
        from mimyria_driver.standby import wait_for_folder

        return_large_blocks()
        settings = load_settings(arguments.settings)
        if arguments.standby and not wait_for_folder(
            settings.run.directory, lambda: stop.signal_name is not None
        ):
            return STOPPED
        if settings.source.replicas > 1:
            from mimyria_driver.replicas import run_replicas

            return run_replicas(settings, stop=stop)
        check_layout(settings.run.directory, 1)
        return run(settings, stop=stop)
