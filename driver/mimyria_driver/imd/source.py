"""IMD as a source: the driver as the client of an engine that streams.

IMD has no acknowledgements. What the engine has sent and the journal has not is lost
with this process, so little may be under way: while there is more the engine is told
to pause. Where a stream begins again, frames may be missing. A stream is offered when
its second frame is there, and found to agree with the first: wrong settings begin no
run.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import EngineError, FrameError, MimyriaError
from mimyria.frame import Array, Frame
from mimyria_driver.imd.line import Line
from mimyria_driver.imd.protocol import (
    Connection,
    ImdFrame,
    Kind,
    SessionInfo,
    message,
)
from mimyria_driver.imd.units import UNITS
from mimyria_driver.kinematics import check_clock, check_motion
from mimyria_driver.sources import Arrived, Ended, Event, RunDescription, Started

__all__ = ["ImdSource"]

_log = logging.getLogger(__name__)

_OTHER_CLOCK: Final = (
    "Set source.units and source.time_step to those of the engine, whose time step "
    "must not change."
)


class ImdSource:
    """A `Source` of frames from a server of IMD."""

    def __init__(
        self,
        address: str,
        numbers: NDArray[np.int64],
        masses: Array,
        time_step: float,
        stride: int,
        units: str,
        *,
        most: int = 16,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before the first `receive`.

        Args:
            address: of the engine's server, HOST:PORT.
            numbers: (n_atoms,) — atomic numbers in the order of the engine.
            masses: (n_atoms,) amu.
            time_step: MD time step, fs.
            stride: MD steps from one frame to the next.
            units: a key of `UNITS`.
            most: frames that are not in the journal, from which on the engine pauses.
            clock: seconds that only grow.

        Raises:
            SettingsError: the address is none.
        """
        self._units = UNITS[units]
        self._line = Line(address, clock)
        self._description = RunDescription(
            self._units.engine, numbers, masses, time_step, stride
        )
        self._most = most
        self._connection = Connection(len(numbers))
        self._queue: deque[Event] = deque()
        self._under_way: deque[int] = deque()  # steps
        self._offered = self._paused = self._over = False
        self._failure: MimyriaError | None = None
        # Of the present connection:
        self._first: Frame | None = None  # until the second one is there
        self._last: tuple[Frame, float] | None = None  # and its time, fs

    @property
    def pollable(self) -> object | None:
        """The socket; while the engine is not there, one that never has anything."""
        return self._line.pollable

    @property
    def alive(self) -> bool | None:
        """Whether there is a connection; None: there was none yet."""
        return self._line.is_open if self._line.was_open else None

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now; connects if need be.

        Raises:
            FormatError: something is missing in what the engine sends.
            FrameError: a frame does not belong to the run.
            ProtocolError: this is no IMD.
        """
        events: list[Event] = []
        try:
            events += self._release()
            while not (events or self._is_waiting) and self._hear():
                events += self._release()
            if not self._paused and len(self._under_way) >= self._most:
                events += self._pause()
        except MimyriaError as error:
            self._failure = error
        if self._failure is not None and not (events or self._offered or self._queue):
            raise self._failure
        # The frames before a bad one are good: the error comes with the next call.
        return events

    def accept(self, durable_step: int) -> None:
        """Go on; what came before is lost, or known and recognised.

        Args:
            durable_step: makes no difference here: IMD cannot go back.
        """
        self._require_offer()

    def refuse(self, reason: str) -> None:
        """Leave the engine, which cannot be told why."""
        self._require_offer()
        _log.error("left the engine at %s: %s", self._line.address, reason)
        self._over = True

    def acknowledge(self, step: int) -> None:
        """Every frame up to `step` is safe: the engine may go on."""
        while self._under_way and self._under_way[0] <= step:
            self._under_way.popleft()
        if self._paused and 2 * len(self._under_way) <= self._most:
            self._paused = False
            self._line.send(message(Kind.RESUME))

    def close(self, *, coming_back: bool = False) -> None:
        """Leave the engine.

        Args:
            coming_back: makes no difference here: whether an engine goes on alone is
                a matter of its input. LAMMPS crashes when it is told to.
        """
        self._over = True
        self._line.send(message(Kind.DISCONNECT))
        self._line.close()

    # -- bytes ------------------------------------------------------------------------

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing may be read now."""
        return self._offered or self._over or self._failure is not None

    def _hear(self) -> bool:
        """Read once; whether there was something."""
        if not self._line.is_open:
            if not self._line.connect():
                return False
            self._connection = Connection(len(self._description.numbers))
            self._paused = False
            self._first = self._last = None
            self._under_way.clear()
        data = self._line.read()
        if data is None:
            return False
        self._understand(data)
        return True

    def _understand(self, data: bytes) -> None:
        """Take in what was read; nothing, where the connection is closed."""
        try:
            if not data:
                self._leave()
            for heard in self._connection.receive(data):
                if isinstance(heard, SessionInfo):
                    # Engines wait for this a second only; frames then wait in the line.
                    self._line.send(message(Kind.GO))
                elif isinstance(heard, ImdFrame):
                    self._take(heard)
                else:
                    self._leave()
                    break
        except MimyriaError as error:
            self._failure = error

    def _leave(self) -> None:
        """The engine has closed the connection: at its end, or before it."""
        if self._first is not None:
            self._begin(self._first)
        self._line.disconnect()
        if self._connection.is_between_frames and self._last is not None:
            self._queue.append(Ended("the engine has closed the IMD connection"))
            return
        _log.warning(
            "lost the engine at %s: it closed the connection %s",
            self._line.address,
            "before a frame" if self._last is None else "within a frame",
            extra={"code": "engine_lost"},
        )

    # -- events -----------------------------------------------------------------------

    def _release(self) -> list[Event]:
        """What may be given now: nothing behind a `Started` that has no answer."""
        events: list[Event] = []
        while self._queue and not (self._offered or self._over):
            event = self._queue.popleft()
            if isinstance(event, Started):
                self._offered = True
            elif isinstance(event, Arrived):
                self._under_way.append(event.frame.step)
            else:
                self._over = True
            events.append(event)
        return events

    def _pause(self) -> list[Event]:
        """Take what the line holds, and only then tell the engine to pause.

        An engine that has ended meanwhile does not read this any more, and its system
        answers by throwing away what has not been read here.
        """
        data = self._line.read_all()
        self._paused = True
        self._line.send(message(Kind.PAUSE))
        if data and self._failure is None:
            self._understand(data)
        return self._release()

    def _begin(self, first: Frame) -> None:
        self._queue += [Started(self._description), Arrived(first, -1)]
        self._first = None

    def _take(self, heard: ImdFrame) -> None:
        units = self._units
        frame = Frame(
            self._description.numbers,
            heard.positions * units.angstrom,
            heard.cell * units.angstrom,
            heard.velocities * units.velocity,
            heard.step,
        )
        now = heard.time * units.femtosecond
        if self._last is None:
            self._first = frame
        else:
            before, then = self._last
            if self._first is not None:
                self._compare(before, frame)
            check_clock(
                frame.step,
                frame.step - before.step,
                now - then,
                now,
                self._description.time_step,
                _OTHER_CLOCK,
            )
            if self._first is not None:
                self._begin(self._first)
            self._queue.append(Arrived(frame, before.step))
        self._last = frame, now

    def _compare(self, before: Frame, frame: Frame) -> None:
        """Hold the second frame of a stream against the first."""
        apart = frame.step - before.step
        stride = self._description.stride
        if apart != stride:
            raise FrameError(
                f"the first two frames by IMD are {apart} steps apart, but "
                f"source.stride is {stride}. Set it to the transmission rate of the "
                "engine (LAMMPS: `trate`)."
            )
        # What is wrong with a single frame is named by the check of every frame.
        if _is_sound(before) and _is_sound(frame):
            check_motion(before, frame, self._description.interval)

    def _require_offer(self) -> None:
        if not self._offered:
            raise EngineError("There is no engine that waits for an answer.")
        self._offered = False


def _is_sound(frame: Frame) -> bool:
    """Whether its numbers are finite, and its cell has a volume."""
    arrays = (frame.positions, frame.cell, frame.velocities)
    finite = all(each is not None and np.isfinite(each).all() for each in arrays)
    return finite and frame.volume > 0
