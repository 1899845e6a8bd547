"""Run state: what a run is doing, who asked for its end, and why it ended."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

from mimyria.errors import EngineError, EvaluatorError, MimyriaError, ResourceError
from mimyria_driver.signals import STOPPED, StopRequest

__all__ = ["EXIT_NAME", "RunState", "check_patience", "no_memory"]

EXIT_NAME: Final = "EXIT"
"""A file of this name in the run folder ends the run, as in i-PI."""

_DRAIN_SECONDS: Final = 2.5
"""For frames under way after a signal; saving them must fit into the rest of 5 s."""


class RunState:
    """The state of one run of the driver.

    Attributes:
        name: loading, waiting, running, draining, ended, stopped or failed.
        message: why, where there is something to say.
        failure: the first error, if there was one.
        over: whether nothing is done any more but to save.
    """

    def __init__(self, folder: Path, stop: StopRequest) -> None:
        """It begins with loading.

        Args:
            folder: the run folder.
            stop: tells when to end before the end.
        """
        self.name = "loading"
        self.message = ""
        self.failure: MimyriaError | None = None
        self.over = False
        self._exit_file = folder / EXIT_NAME
        self._stop = stop
        self._drain_until = math.inf

    @property
    def exit_code(self) -> int:
        """Of the command, if the run ended now."""
        if self.failure is not None:
            return self.failure.exit_code
        return STOPPED if self.name == "stopped" else 0

    def end(self, name: str, message: str) -> None:
        """The run comes to its end: draining or ended."""
        self.name = name
        self.message = message

    def fail(self, error: MimyriaError) -> None:
        """An error ends the run behind the frames that have arrived."""
        self.failure = self.failure or error
        self.end("draining", str(error))

    def take(self, error: MimyriaError) -> None:
        """What ended the loop; after a signal the evaluator may be gone, too."""
        if isinstance(error, EvaluatorError) and self._stop.signal_name is not None:
            self._stopped()
        else:
            self.failure = self.failure or error

    def stopping(self) -> bool:
        """Whether somebody asked for the end; remembers it as the state."""
        if self._exit_file.exists():
            self._exit_file.unlink(missing_ok=True)
            self.end("draining", "ended by the file EXIT")
            return True
        if self._stop.signal_name is not None:
            self._stopped()
            return True
        if self._stop.over:
            self.end("draining", self._stop.over)
            return True
        return False

    def end_wanted(self) -> bool:
        """Whether somebody wants the end, who then does not wait for room on a disk."""
        return self.name == "stopped" or self.stopping()

    def no_time_left(self) -> bool:
        """While frames are finished: whether a signal forbids to wait for more."""
        if self._stop.signal_name is None:
            return False
        now = time.monotonic()
        if self._drain_until == math.inf:
            self._stopped()
            self._drain_until = now + _DRAIN_SECONDS
        return self._stop.urgent or now > self._drain_until

    def conclude(self) -> None:
        """Nothing is done any more but to save."""
        self.over = True
        if self.failure is not None:
            self.end("failed", str(self.failure))
        elif self.name != "stopped":
            self.name = "ended"

    def _stopped(self) -> None:
        if self.failure is None:
            name = self._stop.signal_name
            self.end("stopped", f"stopped by {name}; start again to continue")


def no_memory() -> ResourceError:
    """Why a run ends whose process may have no more memory."""
    return ResourceError(
        "the memory that the driver may use is full. All acknowledged frames are safe; "
        "start again, with more memory if this repeats."
    )


def check_patience(silence: float, patience: float) -> None:
    """Whether the engine was waited for too long, both in s; 0: never.

    Raises:
        EngineError: it was.
    """
    if patience and silence > patience:
        raise EngineError(
            f"no frame came for {silence:.0f} s (run.patience is {patience:g} s). "
            "Look at the engine, then start again; all frames so far are safe."
        )
