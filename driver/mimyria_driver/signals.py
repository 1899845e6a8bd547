"""Signals: a request to stop that the loop looks at, and a way out where it cannot.

SIGTERM, SIGINT, SIGUSR1 (Slurm's warning), SIGHUP and SIGXCPU ask for the end. The loop
then has a few seconds to finish and save. Where it cannot look, because a disk or a
calculation holds it, a thread ends the process with the code of a stopped run: what was
acknowledged is on disk, and all else the engine sends again.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Final

__all__ = ["STOPPED", "StopRequest", "held_back"]

STOPPED: Final = 75
"""Exit code of a run that was stopped before its end: start it again."""

_SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGUSR1,
    signal.SIGHUP,
    signal.SIGXCPU,
)
_GRACE: Final = 4.5
"""Seconds from a signal to the end at the latest; schedulers kill after 30 or none."""
_URGENT_GRACE: Final = 1.0


class StopRequest:
    """Whether somebody wants the run to stop; handlers live inside the context.

    Attributes:
        signal_name: of the first signal, or None.
        urgent: whether a second one came: do not finish the frames that are under way.
        over: why the run is over although its engine goes on; empty: it is not. Like
            the file EXIT, and no reason to be started again.
        last_words: called, each on its own, before the process is left by the thread;
            they must be quick and wait for nothing.
    """

    def __init__(self, *, grace: float = _GRACE) -> None:
        """No request.

        Args:
            grace: seconds after a signal when the process is left in any case;
                infinite: never.
        """
        self.signal_name: str | None = None
        self.urgent = False
        self.over = ""
        self.last_words: list[Callable[[], object]] = []
        self._grace = grace
        self._before: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> StopRequest:
        """Take over the signals."""
        # The number of each signal goes through this pair at once, even while the main
        # thread is inside a call that Python cannot interrupt.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        for number in _SIGNALS:
            # Who started us with nohup wants a closed terminal to mean nothing.
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._receive)
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._writer.close()
        assert self._thread is not None
        self._thread.join()
        self._reader.close()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        # The limit of processor time is told again each second: no sign of impatience.
        again = self.signal_name is not None and number != signal.SIGXCPU
        self.urgent = self.urgent or again
        self.signal_name = self.signal_name or signal.Signals(number).name

    def _watch(self) -> None:
        """In a thread of its own: leave the process when the time is over."""
        deadline: float | None = None
        while True:
            left = None
            if deadline is not None and self._grace < math.inf:
                left = max(0.0, deadline - time.monotonic())
            if not select.select([self._reader], [], [], left)[0]:
                self._leave()
            numbers = self._reader.recv(64)
            if not numbers:
                return
            for number in numbers:
                if number not in _SIGNALS:
                    continue
                now = time.monotonic()
                if deadline is None:
                    deadline = now + self._grace
                elif number != signal.SIGXCPU:
                    deadline = min(deadline, now + _URGENT_GRACE)

    def _leave(self) -> None:
        for word in self.last_words:
            with contextlib.suppress(Exception):
                word()
        with contextlib.suppress(OSError):
            os.write(
                2,
                b"mimyria-driver: stopped by a signal, but could not finish in time; "
                b"all acknowledged frames are safe. Start again to continue.\n",
            )
        os._exit(STOPPED)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold signals back, so that a child started here never gets them.

    A scheduler sends its signals to all processes of a job. A child that answers to its
    parent alone inherits the mask and keeps it, from its first instant on.
    """
    numbers = set(_SIGNALS) - {signal.SIGXCPU}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
