"""Backlog: the frames that the driver has not confirmed, and the wait for it.

Some are under way, in the `Window` of the run. With the policy `spill` others stand in
a file behind them. What a frame is this module does not know. Python 3.8, the standard
library and pyzmq are enough.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mimyria_driver.lammps.options import Options
from mimyria_driver.lammps.spill import Spill, spill_path
from mimyria_driver.lammps.window import Window
from mimyria_driver.wire import Message

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backlog"]

SHORT = 1.0  # s between two looks at the file of frames while waiting


class Backlog:
    """What waits for the driver, in the order it was made.

    Attributes:
        window: of the present run; None between two runs.
        spill: the file, once there was need of it.
        seconds_waited: for the driver, in all runs.
    """

    def __init__(self, options: Options, log: Callable[[str], None]) -> None:
        """Nothing waits.

        Args:
            options: how long the engine waits, and where frames do.
            log: takes a line for people.
        """
        self.window: Window | None = None
        self.spill: Spill | None = None
        self.seconds_waited = 0.0
        self._options = options
        self._log = log
        self._giving_way = False

    def __len__(self) -> int:
        """Frames that are not confirmed."""
        window = 0 if self.window is None else len(self.window)
        return window + (0 if self.spill is None else len(self.spill))

    @property
    def is_detached(self) -> bool:
        """Whether the driver has said goodbye to this run."""
        return self.window is not None and self.window.detached

    def push(self, step: int, message: Message) -> None:
        """The frame goes to the driver, or behind those that wait in the file."""
        assert self.window is not None
        raw = self.window.stamped(message)
        waits = bool(self.spill) or not self.window.has_room
        if not (waits and self._keep_in_file(step, raw)):
            self.window.push(step, raw)

    def hear(self) -> None:
        """Take what the driver says, without waiting.

        Raises:
            RefusedError: it does not take this run.
        """
        assert self.window is not None
        self.window.advance(0.0)

    def wait_for_room(self) -> bool:
        """Until the driver takes a frame; False when the user's time is over."""
        self.hear()
        self._drain()
        return self._wait_until(self._has_room)

    def wait_to_be_heard(self, *, at_last: bool = False) -> bool:
        """Until the driver listens; False when the user's time is over.

        Args:
            at_last: the run is over.
        """
        self.hear()
        return self._wait_until(self._is_heard, at_last=at_last)

    def wait_until_safe(self) -> bool:
        """Until the driver has all frames on disk; False when time is over."""
        return self._wait_until(self._is_safe)

    def wait_to_finish(self) -> bool:
        """The same where the run is over."""
        return self._wait_until(self._is_safe, at_last=True)

    def forget_run(self) -> None:
        """Close the window of this run, and what is in it."""
        if self.window is not None:
            self.window.close()
        self.window = None
        self._giving_way = False

    def close(self) -> None:
        """Release all at once; what is not confirmed may be lost."""
        self.forget_run()
        if self.spill is not None:
            self.spill.close()
            self.spill = None

    def _keep_in_file(self, step: int, raw: list[bytes]) -> bool:
        if self._options.policy != "spill":
            return False
        assert self.window is not None
        if self.spill is None:
            self.spill = Spill(
                self._options.spill or spill_path(), self._options.spill_mb << 20
            )
        if not self.spill:
            self._log(f"frames wait in {self.spill.path} from step {step} on")
        if self.spill.push(step, raw):
            return True
        self._log(f"{self.spill.path} is full; the engine waits for the driver")
        window = self.window
        while not (window.detached or self.spill.push(step, raw)):
            window.advance(SHORT)
            self._drain()
        return True

    def _drain(self) -> None:
        """Frames from the file, in their order, as far as there is room."""
        assert self.window is not None
        while self.spill and self.window.has_room and not self.window.detached:
            self.window.push(*self.spill.pop())

    def _is_heard(self) -> bool:
        assert self.window is not None
        return self.window.is_heard

    def _has_room(self) -> bool:
        assert self.window is not None
        return self.window.has_room and not self.spill

    def _is_safe(self) -> bool:
        return len(self) == 0

    def _wait_until(
        self, reached: Callable[[], bool], *, at_last: bool = False
    ) -> bool:
        """Until it is so; False when nothing has moved for the time of the user.

        Once that has happened nothing is waited for, until the driver moves again; at
        last the wait begins anew, and what is in the file needs a driver.
        """
        window = self.window
        assert window is not None
        limit = self._options.limit
        if at_last:
            limit = None if self._options.policy == "spill" else limit
        elif self._giving_way:
            limit = 0.0
        begin = mark = time.monotonic()
        in_time = True
        while not (reached() or window.detached):
            before, now = window.durable_step, time.monotonic()
            if limit is not None and now - mark >= limit:
                in_time = False
                break
            left = SHORT if limit is None else min(SHORT, mark + limit - now)
            window.advance(left)
            self._drain()
            if window.durable_step > before:
                mark = time.monotonic()
        self._giving_way = not in_time
        self.seconds_waited += time.monotonic() - begin
        return in_time
