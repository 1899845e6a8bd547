"""`mimyria-driver bec`: Born effective charges for the dynamics of i-PI."""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.signals import StopRequest

__all__ = ["add_parser"]

_BEC = """\
Give i-PI the tensors that drive its dynamics, at every step: a client of an ffsocket
whose energy and forces are exact zeros and whose extras are made of a model of the
atomic polar tensors (APT).

  mimyria-driver bec water-compact-apt --address unix:bec --structure init.xyz

--keys says what is sent, the same keys in every reply:
  BEC                Born effective charges for <driven_dynamics> with
                     <bec mode='driver'/>: forces and work of an electric field
  dipole_derivative  for ffcavphsocket with dipole_surface, which needs
  dipole             this one, too: no APT has it, so it is followed from --start along
                     the way of the atoms; --folder keeps it

The <force> needs the weight 1. The mean over the atoms is always taken off, since i-PI
wants tensors that add up to zero. docs/driven.md has inputs and units.

If there is no answer (a model that fails, numbers that are not finite), i-PI gets none:
it waits at that step for another client, and asks it again.

exit codes: 0 i-PI has ended, 75 stopped by a signal, no request for --patience, or a
device that fails: start again; others say what is wrong: 64 command line, 65 atoms,
66 model, 69 device, 70 model without an answer, 74 disk, 77 socket of another user,
78 settings.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "bec", "give i-PI Born effective charges", _BEC)
    add = parser.add_argument
    add("model", metavar="MODEL", help="file, shipped name, python:module:function")
    add("--address", required=True, help='the ffsocket, "unix:NAME" or "HOST:PORT"')
    atoms = parser.add_mutually_exclusive_group(required=True)
    atoms.add_argument(
        "--structure", type=Path, metavar="FILE", help="the same atoms, as ASE reads"
    )
    atoms.add_argument("--elements", nargs="+", metavar="SYMBOL", help="of all atoms")
    add("--keys", nargs="+", metavar="KEY", default=["BEC"], help="default: BEC")
    add("--folder", type=Path, help="dipole: where it is kept, one for each run")
    add(
        "--start",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        default=(0.0, 0.0, 0.0),
        help="dipole: of the first configuration, e Å (default: 0 0 0)",
    )
    add("--charge", type=float, default=0.0, help="of the system in e (default: 0)")
    add("--device", default="auto", help="cpu, cuda or auto (default)")
    add("--threads", type=int, default=1, help="CPU threads of the model (1)")
    add(
        "--patience",
        type=float,
        default=0.0,
        help="seconds without a request after which it ends (0: never)",
    )
    add(
        "--first-load",
        type=float,
        default=300.0,
        metavar="S",
        help="seconds for an unknown deployed file in a sandbox (300; 0: none)",
    )
    parser.set_defaults(run=_bec)


def _bec(arguments: argparse.Namespace) -> int:
    # First of all: a signal while the rest is loaded shall find its handler.
    with StopRequest() as stop:
        from mimyria_driver.assembly import atoms_of
        from mimyria_driver.driven.serving import DrivenSettings, serve

        numbers, _ = atoms_of(
            arguments.elements or (), arguments.structure, "--elements"
        )
        settings = DrivenSettings(
            arguments.model,
            arguments.address,
            numbers,
            tuple(arguments.keys),
            arguments.folder,
            tuple(arguments.start),
            arguments.charge,
            arguments.device,
            arguments.threads,
            arguments.patience,
            arguments.first_load,
        )
        return serve(settings, stop)
