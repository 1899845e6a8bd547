"""i-PI with a hook inside: frames with exact velocities, steps and times.

    python -m mimyria_driver.inprocess input.xml --endpoint spectrum/endpoint.json

runs i-PI as `i-pi input.xml` does, and sends a frame after every --stride steps over
the wire that the hook of LAMMPS has, with its acknowledgements and its policies.
Momenta are those of the full step, whatever the thermostat or barostat; of several
beads the centroid is sent. To i-PI it is one more thing to do where outputs are
written.

Source: i-PI 3.3, `ipi/engine/simulation.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import numpy as np

from mimyria.cli.parsing import Parser
from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.sender import Sender, write_line
from mimyria_driver.wire import RunCard

__all__ = ["IpiEngine", "hooked", "main"]

_AMU: Final = 1822.8885  # electron masses, as i-PI has it


class IpiEngine:
    """A simulation of i-PI, as `Sender` reads an engine; atomic units."""

    rank = 0
    n_ranks = 1

    def __init__(self, simulation: Any) -> None:  # noqa: ANN401 - i-PI has no types
        """Look at a simulation that is loaded.

        Raises:
            HookError: it has several systems, or no time step.
        """
        systems = simulation.syslist
        if len(systems) != 1:
            raise HookError(
                f"The input has {len(systems)} systems, but a driver serves one. Run "
                "them one by one."
            )
        (self._system,) = systems
        self._simulation = simulation
        self.time_step = float(getattr(self._system.motion, "dt", 0.0))
        if not self.time_step > 0:
            raise HookError(
                "This <motion> has no time step, so that it makes no spectrum. Use the "
                "mode dynamics or driven_dynamics."
            )
        names = [str(name) for name in self._system.beads.names]
        self.elements = tuple(dict.fromkeys(names))
        self._types = [self.elements.index(name) + 1 for name in names]
        self.step = int(simulation.step)
        self.n_atoms = self.n_local = len(names)

    def real(self, name: str) -> float:
        """One fs or one Å in atomic units, those of i-PI."""
        return {
            "femtosecond": 1.0 / FS_PER_IPI_TIME,
            "angstrom": 1.0 / ANGSTROM_PER_IPI_BOHR,
        }[name]

    def card(self, elements: tuple[str, ...], stride: int) -> RunCard:
        """The description of the run."""
        return RunCard(
            f"i-PI {version('ipi')}",
            "atomic",
            elements,
            self.time_step * FS_PER_IPI_TIME,
            stride,
            self.real("angstrom"),
            self.real("femtosecond"),
            (1, 1, 1),
        )

    def box(self) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Lattice vectors as rows (9), origin (3), and what is periodic."""
        # Columns in i-PI, rows on the wire.
        cell = np.array(self._system.cell.h, dtype=np.float64).T
        return cell.ravel().tolist(), [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self) -> bytes:
        """(n_atoms,) int64, from 1 in i-PI's order."""
        return np.arange(1, self.n_atoms + 1, dtype="<i8").tobytes()

    def types(self) -> bytes:
        """(n_atoms,) int32, from 1."""
        return np.array(self._types, dtype="<i4").tobytes()

    def masses(self) -> bytes:
        """(n_atoms,) float64, amu."""
        masses: Array = np.array(self._system.beads.m, dtype="<f8") / _AMU
        return masses.tobytes()

    def positions(self) -> bytes:
        """(n_atoms, 3) float64, bohr; of the centroid, never wrapped."""
        return _centroid(self._system.beads.q).tobytes()

    def velocities(self) -> bytes:
        """(n_atoms, 3) float64, atomic units; of the full step."""
        beads = self._system.beads
        masses: Array = np.array(beads.m3, dtype="<f8")[0]
        return (_centroid(beads.p) / masses).tobytes()


class _Interrupted(BaseException):
    """A signal came while the driver was waited for."""


class _Hook:
    """What is done where outputs are written; never an error into i-PI."""

    def __init__(self, simulation: Any, sender: Sender, stride: int) -> None:  # noqa: ANN401
        self._simulation = simulation
        self._engine = IpiEngine(simulation)
        self._sender = sender
        self._stride = stride
        self._is_over = False
        self._is_waiting = False
        self._before: dict[int, Any] = {}

    def sample(self, step: int) -> None:
        """Send the frame of a step, if it is a sampled one."""
        if self._is_over or step % self._stride:
            return
        self._engine.step = step
        self._is_waiting = True
        try:
            self._sender.sample(self._engine)  # type: ignore[arg-type]
        except _Interrupted:
            # A run that goes on from this step begins with its frame.
            self._is_over = True
            _end_softly()
        except Exception as error:
            self._is_over = True
            if not isinstance(error, HookError):
                traceback.print_exc()
            write_line(f"{error} {self._sender.consequence}")
            self._sender.detach(str(error))
            if self._sender.options.policy in ("stop", "abort"):
                _end_softly()
        finally:
            self._is_waiting = False
        if self._sender.stopping:
            _end_softly()

    def finish(self) -> None:
        """After i-PI's own last things: wait until all frames are safe."""
        self._is_waiting = not self._is_over
        with contextlib.suppress(_Interrupted):
            if not self._is_over:
                self._sender.finish()
        self._is_waiting = False
        self._sender.close()

    def listen(self) -> None:
        """Let a signal end a wait for the driver, which i-PI's own handler does not."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if callable(before):
            before(number, frame)
        if self._is_waiting:
            raise _Interrupted


def hooked(simulation: Any, sender: Sender, stride: int) -> None:  # noqa: ANN401
    """Let a loaded simulation send frames while it runs.

    Raises:
        HookError: its frames cannot be sent.
    """
    from ipi.utils.softexit import softexit

    hook = _Hook(simulation, sender, stride)
    write_outputs = simulation.write_outputs

    def write_all() -> None:
        # Before i-PI writes a checkpoint: with the option barrier all is safe then.
        # In this thread, where a signal ends the wait for a driver that is away.
        hook.sample(simulation.step + 1)
        write_outputs()

    simulation.write_outputs = write_all
    softexit.register_function(hook.finish)
    hook.listen()
    if simulation.step > 0:
        # A checkpoint: i-PI writes nothing for its step, which the driver may lack.
        hook.sample(simulation.step)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of this module."""
    chosen = _parse(arguments)
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
        elements = IpiEngine(simulation).elements
        sender = Sender(chosen.endpoint, elements, chosen.stride, options=options)
        hooked(simulation, sender, chosen.stride)
    except HookError as error:
        _give_up(error)
    softexit.hard_exit = True  # as the command i-pi has it
    simulation.run()
    softexit.trigger(status=simulation.exit_status, message=simulation.exit_message)
    return 0


def _end_softly() -> None:
    """Ask i-PI to end after this step, with its RESTART."""
    from ipi.utils.softexit import softexit

    # It would leave this thread at once, before the outputs of the step.
    with contextlib.suppress(SystemExit):
        softexit.trigger(message=" @ mimyria: the driver is away.")


def _give_up(error: HookError) -> NoReturn:
    """End i-PI, whose threads would keep the process alive."""
    from ipi.utils.softexit import softexit

    write_line(str(error))
    softexit.cleanup(status="bad", message=" @ mimyria: no frames can be sent.")
    sys.stdout.flush()
    os._exit(SettingsError.exit_code)


def _centroid(beads: Any) -> Array:  # noqa: ANN401
    """Mean over the beads of (n_beads, 3 n_atoms), (3 n_atoms,)."""
    mean: Array = np.array(beads, dtype="<f8").mean(axis=0)
    return mean


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m mimyria_driver.inprocess",
        description="Run i-PI with a hook that streams to a driver of LAMMPS' kind.",
    )
    add = parser.add_argument
    add("input", type=Path, help="input.xml, or a checkpoint")
    add("--endpoint", required=True, help="of the driver: its address, or its file")
    add("--stride", type=int, default=1, help="MD steps between frames (default: 1)")
    add("-S", "--sockets-prefix", help="as i-pi has it")
    add(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="what to do while the driver is away, as policy=spill wait=60",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
