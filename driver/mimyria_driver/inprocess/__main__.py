"""The command `python -m mimyria_driver.inprocess`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mimyria.cli.errors import run_command
from mimyria.cli.parsing import Parser
from mimyria.errors import SettingsError
from mimyria_driver.inprocess.engine import IpiEngine
from mimyria_driver.inprocess.hook import hooked
from mimyria_driver.labels import PLACEHOLDER
from mimyria_driver.lammps.access import own_endpoint
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.sender import Sender, write_line

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of this module."""
    return run_command(_run, _parse(arguments), debug=False)


def _run(chosen: argparse.Namespace) -> int:
    from ipi.engine.simulation import Simulation
    from ipi.utils.softexit import softexit

    try:
        options = parse_options(" ".join(chosen.options))
    except HookError as error:
        write_line(str(error))
        return SettingsError.exit_code
    with chosen.input.open() as file:
        simulation = Simulation.load_from_xml(
            file, request_banner=True, sockets_prefix=chosen.sockets_prefix
        )
    try:
        for place, endpoint in _endpoints(
            chosen, len(simulation.syslist), options.replica
        ):
            engine = IpiEngine(simulation, place, all_beads=chosen.beads == "all")
            sender = Sender(endpoint, engine.elements, chosen.stride, options=options)
            hooked(simulation, engine, sender, chosen.stride)
    except HookError as error:
        _give_up(error)
    softexit.hard_exit = True  # as the command i-pi has it
    simulation.run()
    softexit.trigger(status=simulation.exit_status, message=simulation.exit_message)
    return 0


def _endpoints(
    chosen: argparse.Namespace, n_systems: int, replica: int
) -> list[tuple[int, str]]:
    """Which systems are sent, and where to.

    Raises:
        HookError: there are several, and nothing says which.
    """
    if chosen.place is not None:
        endpoint = own_endpoint(chosen.endpoint, replica, chosen.place)
        return [(chosen.place, endpoint)]
    if n_systems > 1 and PLACEHOLDER not in chosen.endpoint:
        raise HookError(
            f"The input has {n_systems} systems, but a driver serves one. Choose one "
            f"by --system, or put {PLACEHOLDER} where their numbers (000, 001, ...) "
            "belong in --endpoint."
        )
    alone = replica if n_systems == 1 else -1
    return [
        (place, own_endpoint(chosen.endpoint, alone, place))
        for place in range(n_systems)
    ]


def _give_up(error: HookError) -> NoReturn:
    """End i-PI, whose threads would keep the process alive."""
    from ipi.utils.softexit import softexit

    write_line(str(error))
    softexit.cleanup(status="bad", message=" @ mimyria: no frames can be sent.")
    sys.stdout.flush()
    os._exit(SettingsError.exit_code)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m mimyria_driver.inprocess",
        description="Run i-PI with a hook that streams to a driver of LAMMPS' kind.",
    )
    add = parser.add_argument
    add("input", type=Path, help="input.xml, or a checkpoint")
    add("--endpoint", required=True, help="of the driver: its address, or its file")
    add("--stride", type=int, default=1, help="MD steps between frames (default: 1)")
    add(
        "--beads",
        choices=("centroid", "all"),
        default="centroid",
        help="of ring polymers: the centroid, or all beads, whose currents the driver "
        "averages (default: centroid)",
    )
    add(
        "--system",
        dest="place",
        type=int,
        help="the system to send, from 0; with replica exchange the ensemble, whatever "
        "system has it (default: all, with {replica} in the endpoint)",
    )
    add("-S", "--sockets-prefix", help="as i-pi has it")
    add(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="what to do while the driver is away, as policy=spill wait=60; "
        "replica=K is the number for {replica} in the endpoint",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
