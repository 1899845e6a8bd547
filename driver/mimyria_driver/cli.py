"""The command `mimyria-driver`: the service that listens to an MD engine."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from mimyria import __version__
from mimyria.cli.errors import run_command
from mimyria.errors import OutputError
from mimyria_driver.settings import load_settings, parse_settings, reference

__all__ = ["build_parser", "main"]

_DESCRIPTION = """\
Spectra while the molecular dynamics runs. The driver receives frames from LAMMPS or
i-PI, evaluates two networks on each (atomic polar tensors for IR, polarizability
gradients for Raman), and keeps the time correlation functions and spectra up to date.
"""

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
  status.json        for `mimyria-driver status`
  evaluator.log      what the networks' process said

To end early: Ctrl-C, SIGTERM, or a file EXIT in the run folder. What has arrived is
finished and saved. The same command goes on where the run was.

exit codes: 0 the run is over (or EXIT), 75 stopped by a signal or the engine is gone:
start again; others say what is wrong: 65 data, 66 model, 69 device, 70 evaluator,
73 output, 74 journal, 76 protocol, 78 settings.
"""

_REPLAY = """\
Send stored trajectories through the very same service. They must hold velocities:

  extended XYZ (.extxyz, .xyz)    columns species, pos, velocities:R:3 and
                                  velocities_unit="Angstrom/fs" in the comment line
  LAMMPS dump (.dump, .lammpstrj) columns id, type or element, x y z, vx vy vz; with
                                  `dump_modify ... units yes`
  H5MD (.h5md, .h5)               with the attributes unit

Text may be compressed (.gz, .bz2, .xz, .zst). Several trajectories of the same atoms
are taken one after the other, and no pair of frames crosses from one to the next. A
stopped replay goes on where it was.

  mimyria-driver replay water.extxyz --apt water-compact-apt --time-step 0.5 \\
      --stride 4 --temperature 300 --directory spectrum
  mimyria-driver replay a.dump b.dump.xz --types 1=O 2=H --apt ...
"""

_JOIN = """\
Make one run folder from several, from their journals. A run that continues the one
before it (its first frame is the next one, or it repeats the last ones to the bit) is
put behind it without a border: the result is that of the whole run, to the bit. Any
other run becomes a segment of its own, as by `mimyria merge`.

  mimyria-driver join monday tuesday --directory both --temperature 300
"""

_STATUS = """\
Show what a driver is doing, from the status.json in its run folder. The exit code is 0
while it is well or has ended well, 1 where it has not been heard of for 30 s, and 2
where it failed.
"""

_HOOK = """\
Write the one file that LAMMPS needs inside its own Python (standard library and pyzmq
only). Its first lines say how to use it with `fix python/invoke`.
"""

_BAD: Final = {"failed": 2}


def build_parser() -> argparse.ArgumentParser:
    """The complete parser of `mimyria-driver`."""
    parser = argparse.ArgumentParser(
        prog="mimyria-driver",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--debug", action="store_true", help="show tracebacks and details"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(subparsers)
    _add_replay(subparsers)
    _add_join(subparsers)
    _add_status(subparsers)
    _add_hook(subparsers)
    command = subparsers.add_parser("settings", help="print all settings of a run.toml")
    command.set_defaults(run=_settings)
    if importlib.util.find_spec("mimyria_driver.demo"):
        importlib.import_module("mimyria_driver.demo").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        format="mimyria-driver: %(message)s",
        level=logging.DEBUG if arguments.debug else logging.WARNING,
    )
    return run_command(arguments.run, arguments, debug=arguments.debug)


def _add(subparsers: Any, name: str, title: str, text: str) -> argparse.ArgumentParser:  # noqa: ANN401
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=title,
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_run(subparsers: Any) -> None:  # noqa: ANN401
    parser = _add(subparsers, "run", "serve an engine as run.toml says", _RUN)
    parser.add_argument("settings", type=Path, metavar="RUN.TOML")
    parser.set_defaults(run=_run)


def _add_replay(subparsers: Any) -> None:  # noqa: ANN401
    parser = _add(subparsers, "replay", "serve a stored trajectory", _REPLAY)
    add = parser.add_argument
    add("trajectory", type=Path, nargs="+", help="files with velocities")
    add("--format", help="extxyz, lammps or h5md (default: by the ending)")
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
    add("--temperature", type=float, help="in K (default: the mean kinetic one)")
    add("--resolution", type=float, default=10.0, help="in cm^-1 (default: 10)")
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


def _add_join(subparsers: Any) -> None:  # noqa: ANN401
    parser = _add(subparsers, "join", "make one run folder from several", _JOIN)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUNDIR")
    add("--directory", type=Path, required=True, help="new run folder")
    add("--temperature", type=float, help="in K (default: the mean kinetic one)")
    add("--resolution", type=float, default=10.0, help="in cm^-1 (default: 10)")
    parser.set_defaults(run=_join)


def _add_status(subparsers: Any) -> None:  # noqa: ANN401
    parser = _add(subparsers, "status", "show what a driver is doing", _STATUS)
    parser.add_argument("directory", type=Path, metavar="RUNDIR")
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.set_defaults(run=_status)


def _add_hook(subparsers: Any) -> None:  # noqa: ANN401
    parser = _add(subparsers, "hook", "write the file that LAMMPS needs", _HOOK)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=_hook)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria_driver.service import run

    return run(load_settings(arguments.settings))


def _replay(arguments: argparse.Namespace) -> int:
    from mimyria_driver.service import run

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
    document = {
        name: {
            key: str(value) if isinstance(value, Path) else value
            for key, value in section.items()
            if value is not None
        }
        for name, section in sections.items()
    }
    return run(parse_settings(document, Path.cwd()))


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


def _status(arguments: argparse.Namespace) -> int:
    from mimyria_driver.monitor import describe_status, read_status

    status = read_status(arguments.directory)
    if arguments.json:
        print(json.dumps(status, indent=1))
    else:
        print(describe_status(status))
    return 1 if status["stale"] else _BAD.get(status["state"], 0)


def _hook(arguments: argparse.Namespace) -> int:
    from mimyria_driver.lammps.bundle import bundle_hook

    path: Path = arguments.file
    try:
        path.write_text(bundle_hook(), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}).") from error
    print(f"wrote {path}; its first lines say how LAMMPS uses it")
    return 0


def _settings(arguments: argparse.Namespace) -> int:
    print(reference(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
