"""Hook: what i-PI does beside writing its outputs; never an error into its dynamics.

i-PI's handler of signals leaves the main thread where it is, which may wait for a
driver that is away. So a signal interrupts that wait, and nothing else.
"""

from __future__ import annotations

import contextlib
import signal
import traceback
from types import FrameType
from typing import Any

from mimyria_driver.inprocess.engine import IpiEngine
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.sender import Sender, write_line

__all__ = ["hooked"]


class _Interrupted(BaseException):
    """A signal came while the driver was waited for."""


class _Hook:
    """What is done where outputs are written; never an error into i-PI."""

    def __init__(self, engine: IpiEngine, sender: Sender, stride: int) -> None:
        self._engine = engine
        self._sender = sender
        self._stride = stride
        self._is_over = False
        self._is_waiting = False
        self._before: dict[int, Any] = {}
        self._present = engine.present
        self._exchanged = False

    def sample(self, step: int) -> None:
        """Send the frame of a step, if it is a sampled one.

        The first one after an exchange of replicas is left out: it belongs to another
        system than those before, or to other momenta, and a missing frame is what ends
        a segment.
        """
        self._exchanged = self._exchanged or self._present != self._engine.present
        self._present = self._engine.present
        if self._is_over or step % self._stride:
            return
        exchanged, self._exchanged = self._exchanged, False
        if exchanged:
            return
        self._engine.step = step
        self._is_waiting = True
        try:
            self._sender.sample(self._engine)
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


def hooked(
    simulation: Any,  # noqa: ANN401 - i-PI has no types
    engine: IpiEngine,
    sender: Sender,
    stride: int,
) -> None:
    """Let a loaded simulation send frames while it runs; once for each system."""
    from ipi.utils.softexit import softexit

    hook = _Hook(engine, sender, stride)
    write_outputs = simulation.write_outputs

    def write_all() -> None:
        # Before i-PI writes a checkpoint: with the option barrier all is safe then.
        # In this thread, where a signal ends the wait for a driver that is away.
        hook.sample(simulation.step + 1)
        write_outputs()

    simulation.write_outputs = write_all
    softexit.register_function(hook.finish)
    hook.listen()
    # A checkpoint: i-PI writes nothing for its step, which the driver may lack. Where
    # replicas are exchanged this may have happened at this very step.
    if simulation.step > 0 and not engine.exchanges:
        hook.sample(simulation.step)


def _end_softly() -> None:
    """Ask i-PI to end after this step, with its RESTART."""
    from ipi.utils.softexit import softexit

    # It would leave this thread at once, before the outputs of the step.
    with contextlib.suppress(SystemExit):
        softexit.trigger(message=" @ mimyria: the driver is away.")
