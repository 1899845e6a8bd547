"""`mimyria-driver replay`: the same with stored trajectories."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mimyria.cli.parsing import Subparsers, add_command
from mimyria_driver.cli.parsing import add_result_options
from mimyria_driver.settings import parse_settings
from mimyria_driver.signals import StopRequest

__all__ = ["add_parser"]

_REPLAY = """\
Send stored trajectories through the very same service. They must hold velocities:

  extended XYZ (.extxyz, .xyz)    columns species, pos, velocities:R:3 and
                                  velocities_unit="Angstrom/fs" in the comment line
  LAMMPS dump (.dump, .lammpstrj) columns id, type or element, x y z, vx vy vz; with
                                  `dump_modify ... units yes`
  the same, binary (.bin)         columns id, type, x y z, vx vy vz
  H5MD (.h5md, .h5)               with the attributes unit

Text may be compressed (.gz, .bz2, .xz, .zst). Several trajectories of the same atoms
are taken one after the other, and no pair of frames crosses from one to the next. A
stopped replay goes on where it was.

  mimyria-driver replay water.extxyz --apt water-compact-apt --time-step 0.5 \\
      --stride 4 --temperature 300 --directory spectrum
  mimyria-driver replay a.dump b.dump.xz --types 1=O 2=H --apt ...
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the parser."""
    parser = add_command(subparsers, "replay", "serve a stored trajectory", _REPLAY)
    add = parser.add_argument
    add("trajectory", type=Path, nargs="+", help="files with velocities")
    add(
        "--format",
        help="extxyz, lammps, h5md or lammps-binary (default: by the ending)",
    )
    add(
        "--types",
        nargs="+",
        metavar="TYPE=ELEMENT",
        help="elements of the types of a dump, as 1=O 2=H",
    )
    add("--apt", help="model of the polar tensors (IR): file or shipped name")
    add("--pgt", help="model of the polarizability gradients (Raman)")
    add("--time-step", type=float, required=True, help="of the dynamics, in fs")
    add("--stride", type=int, default=1, help="MD steps between frames (default: 1)")
    add_result_options(parser)
    add("--directory", type=Path, required=True, help="run folder")
    add(
        "--groups",
        metavar="KIND",
        help="parts to keep: species (default), molecules, intra, motion or none; "
        "others need a run.toml",
    )
    add(
        "--velocity-probes",
        type=int,
        metavar="N",
        help="keep velocity spectra of the elements, by N random-sign probes (4)",
    )
    add("--velocities-unit", help="where the file does not say it")
    add("--device", default="auto", help="cpu, cuda or auto (default)")
    add("--threads", type=int, default=1, help="CPU threads of the networks (1)")
    add("--batch", type=int, default=1, help="most frames evaluated at once")
    parser.set_defaults(run=_replay)


def _replay(arguments: argparse.Namespace) -> int:
    with StopRequest() as stop:
        from mimyria_driver.allocation import return_large_blocks
        from mimyria_driver.service import run

        return_large_blocks()
        return run(parse_settings(_document(arguments), Path.cwd()), stop=stop)


def _document(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What a run.toml would say."""
    sections = {
        "run": {"directory": arguments.directory},
        "source": {
            "kind": "replay",
            "path": arguments.trajectory[0],
            "more": [str(path) for path in arguments.trajectory[1:]],
            "format": arguments.format,
            "types": arguments.types,
            "time_step": arguments.time_step,
            "stride": arguments.stride,
            "velocities_unit": arguments.velocities_unit,
        },
        "models": {
            "apt": arguments.apt,
            "pgt": arguments.pgt,
            "device": arguments.device,
            "threads": arguments.threads,
            "batch": arguments.batch,
        },
        "spectrum": {
            "temperature": arguments.temperature,
            "resolution": arguments.resolution,
        },
        "groups": {
            "kind": arguments.groups,
            "velocity_probes": arguments.velocity_probes,
        },
    }
    # As a run.toml has them: paths are strings, and what is not set is absent.
    return {
        name: {
            key: str(value) if isinstance(value, Path) else value
            for key, value in section.items()
            if value is not None
        }
        for name, section in sections.items()
    }
