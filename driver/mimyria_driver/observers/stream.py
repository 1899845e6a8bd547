"""Stream: the frames of one run in Python, on their way to the driver.

It ties frames to the sender of LAMMPS' hook, which keeps them until they are safe, and
says what becomes of the run after an error: trouble in its first two frames, or with
the policy abort, is raised; later MD goes on alone, as in LAMMPS.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mimyria.errors import EngineError, FrameError, MimyriaError, SettingsError
from mimyria.frame import Array, Frame
from mimyria_driver.kinematics import check_motion
from mimyria_driver.lammps.access import own_endpoint
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.sender import AwayError, Sender, write_line
from mimyria_driver.observers.closing import Closing
from mimyria_driver.observers.engine import PythonEngine

__all__ = ["Stream"]


class Stream(Closing):
    """Sends the frames of one run; use it in a `with` statement.

    A step that goes back is that of the same run, which has gone back to an earlier
    configuration; a frame that was sent is known and not sent twice.
    """

    def __init__(
        self,
        address: str | Path,
        masses: Array,
        time_step: float,
        stride: int,
        *,
        engine: str = "Python",
        options: str = "",
        log: Callable[[str], None] = write_line,
    ) -> None:
        """Nothing is opened before the first frame.

        Args:
            address: of the driver: the path of its endpoint.json, or ipc:// or tcp://;
                {replica} in it is the option replica.
            masses: (n_atoms,) amu.
            time_step: of MD, fs; the time of a frame is its step times this.
            stride: MD steps from one frame to the next.
            engine: name and version of the program.
            options: what to do while the driver is away, as "policy=spill wait=60".
            log: takes a line for people.

        Raises:
            SettingsError: one of them cannot be used.
        """
        if not (np.isfinite(time_step) and time_step > 0 and stride >= 1):
            raise SettingsError(
                f"Time step and stride must be above zero, but are {time_step} fs and "
                f"{stride}."
            )
        try:
            self._options = parse_options(options)
            self._address = own_endpoint(str(address), self._options.replica, -1)
        except HookError as error:
            raise SettingsError(str(error)) from None
        if not self._address:
            raise SettingsError("A stream needs the address of its driver.")
        self._masses = np.array(masses, np.float64)
        self._time_step, self._stride = float(time_step), int(stride)
        self._name, self._log = engine, log
        self._engine: PythonEngine | None = None
        self._sender: Sender | None = None
        self._before: Frame | None = None
        self._is_over = self._has_said_so = False
        atexit.register(self._at_exit)

    @property
    def stopping(self) -> bool:
        """Whether the user's time is over, and the run is to end here (policy stop)."""
        return self._sender is not None and self._sender.stopping

    @property
    def seconds_waited(self) -> float:
        """For the driver, so far."""
        return 0.0 if self._sender is None else self._sender.seconds_waited

    def send(self, frame: Frame) -> None:
        """Send a frame; waits when the driver is behind or not there.

        Args:
            frame: with velocities of the same instant as the positions.

        Raises:
            FrameError: it cannot be sent, or the driver refuses the run.
            EngineError: the driver was away for as long as its user allows.
        """
        if self._is_over:
            if not self._has_said_so:
                self._log(f"step {frame.step} and later ones are not streamed")
            self._has_said_so = True
            return
        _check(frame)
        self._begin(frame)
        assert self._sender is not None
        assert self._engine is not None
        try:
            if self._sender.is_early:
                self._compare(frame)
            self._engine.move_to(frame)
            self._sender.sample(self._engine)
        except (HookError, FrameError) as error:
            self._give_up(error)

    def finish(self) -> None:
        """Wait until the driver has all frames on disk, and say goodbye."""
        if self._is_over:
            return
        try:
            if self._sender is not None:
                self._sender.finish()
        except HookError as error:
            self._give_up(error)
        self.close()

    def close(self) -> None:
        """Release all at once; the driver waits for the run to be taken up again."""
        self._is_over = True
        if self._sender is not None:
            self._sender.close()
        atexit.unregister(self._at_exit)

    def _begin(self, frame: Frame) -> None:
        if self._engine is not None:
            return
        if self._masses.shape != (frame.n_atoms,):
            raise FrameError(
                f"The stream was made for {len(self._masses)} atoms, but step "
                f"{frame.step} has {frame.n_atoms}."
            )
        self._engine = PythonEngine(frame, self._masses, self._time_step, self._name)
        self._sender = Sender(
            self._address,
            self._engine.elements,
            self._stride,
            self._log,
            self._options,
        )
        self._sender.rewinds = True

    def _compare(self, frame: Frame) -> None:
        """Hold the first two frames against each other."""
        before, self._before = self._before, frame
        if before is not None and frame.step == before.step + self._stride:
            check_motion(before, frame, self._stride * self._time_step)

    def _give_up(self, error: HookError | FrameError) -> None:
        """After an error: raise it, or let MD go on alone."""
        assert self._sender is not None
        if self._sender.must_end(error):
            self.close()
            raise _ours(error) from None
        self._log(f"ERROR: {error} {self._sender.consequence}")
        self._sender.detach(str(error))
        self._sender.stopping = self._options.policy == "stop"
        self.close()

    def _at_exit(self) -> None:
        """The program ends without a word."""
        failed = getattr(sys, "last_value", None) is not None
        if failed and not hasattr(sys, "ps1"):
            self.close()
            return
        try:
            self.finish()
        except MimyriaError as error:
            self._log(f"ERROR: {error}")


def _check(frame: Frame) -> None:
    """Refuse what the driver would refuse, where it can still be mended."""
    frame.require_finite()
    if frame.velocities is None:
        raise FrameError(f"step {frame.step}: a frame needs velocities.")
    if not frame.volume > 0:
        raise FrameError(
            f"step {frame.step}: the cell {frame.cell.tolist()} has no volume. A "
            "molecule in vacuum needs a cell around it, too: the absorption is one per "
            "volume. Nothing is repeated where pbc is false."
        )


def _ours(error: HookError | FrameError) -> MimyriaError:
    """The same error in the tree of the library."""
    if isinstance(error, FrameError):
        return error
    if isinstance(error, AwayError):
        return EngineError(str(error))
    return FrameError(str(error))
