"""i-PI as a source: the driver as a client that feels no force.

Transport and book-keeping around `mimyria_driver.ipi.protocol`. i-PI sends positions
only, of every MD step, without a step number: the client counts, and makes velocities
by central differences, one step late. Each request is answered at once, before anything
can go wrong with its content, so that no error of ours reaches the dynamics.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import EngineError, FrameError, MimyriaError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.units import ANGSTROM_PER_IPI_BOHR
from mimyria_driver.ipi.protocol import (
    Connection,
    Exit,
    Init,
    IpiProtocolError,
    Positions,
    State,
)
from mimyria_driver.ipi.transport import connect, parse_address
from mimyria_driver.sources import (
    Arrived,
    Ended,
    Event,
    RunDescription,
    Started,
)
from mimyria_driver.velocities import CentralDifference, Sample

__all__ = ["IpiClient"]

_log = logging.getLogger(__name__)

_LEAST_MAX_ATOMS: Final = 100_000
_CHUNK_BYTES: Final = 1 << 18
_FIRST_PAUSE: Final = 0.05  # s between two attempts to connect; doubles ...
_LAST_PAUSE: Final = 2.0  # ... up to this
_SEND_TIMEOUT: Final = 10.0  # s
_REST_TIMEOUT: Final = 0.05  # s to wait for the rest of a request that has begun
# A key that always has the same value, as i-PI demands of what it may print.
_EXTRAS: Final = b'{"mimyria": 1}'


class IpiClient:
    """A `Source` of frames from i-PI."""

    def __init__(
        self,
        address: str,
        numbers: NDArray[np.int64],
        masses: Array,
        time_step: float,
        stride: int,
        first_rid: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before the first `receive`.

        Args:
            address: see `parse_address`.
            numbers: (n_atoms,) — atomic numbers in i-PI's order.
            masses: (n_atoms,) amu.
            time_step: fs between two requests of i-PI.
            stride: MD steps from one frame to the next.
            first_rid: identity of the bead to follow; without it, that of the first
                request.
            clock: seconds that only grow.

        Raises:
            SettingsError: a setting that cannot be used.
        """
        if not (time_step > 0 and stride >= 1 and len(numbers) == len(masses) > 0):
            raise SettingsError(
                "i-PI needs a time step above zero, a stride of at least 1 and one "
                f"mass for each atom, but got {time_step} fs, {stride}, {len(masses)} "
                f"masses for {len(numbers)} atoms."
            )
        self._address = parse_address(address)
        self._description = RunDescription("i-PI", numbers, masses, time_step, stride)
        self._first_rid = first_rid
        self._clock = clock
        # A wrong number is an error that names it; an absurd one is not taken in.
        self._max_atoms = max(10 * len(numbers), _LEAST_MAX_ATOMS)
        self._socket: socket.socket | None = None
        self._connection = Connection(_EXTRAS, self._max_atoms)
        self._pause = _FIRST_PAUSE
        self._try_at = -float("inf")
        # Never readable: stands in for the socket while there is none, so that a
        # poller sleeps until its timeout instead of spinning.
        self._idle, self._idle_end = socket.socketpair()
        self._difference = CentralDifference(time_step)
        self._step = -1
        self._previous_step = -1
        self._unmatched = True  # the first frame of a connection is not placed yet
        self._offer: Positions | None = None
        self._closed = False
        self._failure: MimyriaError | None = None
        self.n_foreign = 0

    @property
    def pollable(self) -> object | None:
        """The socket; while i-PI is not there, one that never has anything."""
        return self._idle if self._socket is None else self._socket

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now; connects if need be.

        Raises:
            FrameError: another number of atoms than the settings have.
            SettingsError: another time step than the settings have.
        """
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        if self._closed or self._offer is not None or not self._is_connected():
            return events
        while self._offer is None and self._socket is not None:
            data = self._read()
            if data is None:
                break
            try:
                heard = self._connection.receive(data)
            except IpiProtocolError as error:
                _log.error("%s Connecting anew.", error)
                self._disconnect()
                break
            # The answer first: i-PI must not wait for what we make of the frame.
            self._answer()
            try:
                for each in heard:
                    events += self._take(each)
            except (FrameError, SettingsError) as error:
                self._failure = error
                break
        if self._failure is not None and not events:
            raise self._failure
        # The frames before a bad one are good: the error comes with the next call.
        return events

    def accept(self, durable_step: int) -> None:
        """Count the frame that was offered as the first one after `durable_step`.

        i-PI does not say how many steps it has made, so that a stream which does not
        begin a run begins with a gap: its first step lies two strides ahead.
        """
        offer = self._require_offer()
        latest = max(durable_step, self._step)
        stride = self._description.stride
        self._step = 0 if latest < 0 else (latest // stride + 2) * stride
        self._previous_step = -1
        self._difference.clear()
        self._difference.push(self._sample(offer))

    def refuse(self, reason: str) -> None:
        """Leave i-PI, which then waits for a client that can serve it."""
        self._require_offer()
        _log.error("left i-PI: %s", reason)
        self._closed = True
        self._disconnect()

    def acknowledge(self, step: int) -> None:
        """i-PI keeps no frames: nothing to do."""

    def close(self, *, coming_back: bool = False) -> None:
        """Leave i-PI, which waits for another client in any case.

        Args:
            coming_back: makes no difference here.
        """
        self._closed = True
        self._disconnect()
        self._idle.close()
        self._idle_end.close()

    # -- events -----------------------------------------------------------------------

    def _take(self, event: Init | Positions | Exit) -> list[Event]:
        if isinstance(event, Exit):
            self._disconnect()
            return [Ended("i-PI has ended")]
        if isinstance(event, Init):
            self._check_time_step(event.parameters)
            return []
        if self._first_rid is None:
            self._first_rid = event.rid
        if event.rid != self._first_rid:
            # Another bead, or a clone that looks at displaced positions.
            self.n_foreign += 1
            return []
        n_atoms = len(self._description.numbers)
        if event.n_atoms != n_atoms:
            raise FrameError(
                f"i-PI sends {event.n_atoms} atoms, but the settings name {n_atoms}. "
                "Make the two agree."
            )
        if self._unmatched:
            self._unmatched = False
            if not self._repeats_last(event):
                self._offer = event
                return [Started(self._description)]
            return []
        return self._next_frame(event)

    def _next_frame(self, event: Positions) -> list[Event]:
        self._step += 1
        self._difference.push(self._sample(event))
        if (self._step - 1) % self._description.stride:
            return []  # the step before is not sampled, and needs no velocities
        found = self._difference.velocities()
        if found is None:
            return []
        sample, velocities = found
        frame = Frame(
            self._description.numbers,
            sample.positions,
            sample.cell,
            velocities,
            sample.step,
        )
        previous, self._previous_step = self._previous_step, sample.step
        return [Arrived(frame, previous)]

    def _sample(self, event: Positions) -> Sample:
        positions = np.frombuffer(event.positions).reshape(-1, 3)
        # Columns on the wire, rows here.
        cell = np.frombuffer(event.cell).reshape(3, 3).T
        return Sample(
            self._step,
            positions * ANGSTROM_PER_IPI_BOHR,
            cell * ANGSTROM_PER_IPI_BOHR,
        )

    def _repeats_last(self, event: Positions) -> bool:
        """Whether i-PI sends the last frame again, to a client it had lost."""
        last = self._difference.last
        if last is None:
            return False
        again = self._sample(event)
        return bool(
            np.array_equal(again.positions, last.positions)
            and np.array_equal(again.cell, last.cell)
        )

    def _check_time_step(self, parameters: dict[str, str]) -> None:
        text = parameters.get("dt_fs")
        if text is None:
            return
        wanted = self._description.time_step
        try:
            agrees = abs(float(text) - wanted) <= 1e-9 * wanted
        except ValueError:
            agrees = False
        if not agrees:
            raise SettingsError(
                f"The time step is {wanted} fs in the settings, but '{text}' in the "
                "dt_fs of i-PI's <parameters>. Make the two agree."
            )

    def _require_offer(self) -> Positions:
        if self._offer is None:
            raise EngineError("There is no engine that waits for an answer.")
        offer, self._offer = self._offer, None
        return offer

    # -- transport --------------------------------------------------------------------

    def _is_connected(self) -> bool:
        if self._socket is not None:
            return True
        now = self._clock()
        if now < self._try_at:
            return False
        self._try_at = now + self._pause
        self._pause = min(2 * self._pause, _LAST_PAUSE)
        try:
            self._socket = connect(self._address)
        except OSError as error:
            _log.debug("i-PI is not there: %s", error)
            return False
        _log.info("connected to i-PI at %s", self._address.path or self._address)
        self._connection = Connection(_EXTRAS, self._max_atoms)
        self._unmatched = True
        self._pause = _FIRST_PAUSE
        return True

    def _read(self) -> bytes | None:
        """Bytes that are there; None if there are none or i-PI is gone."""
        if self._socket is None:
            return None
        if self._connection.state in (State.READY, State.HAVEDATA):
            # A request has begun and its rest is under way. Bytes left unread when this
            # process is killed would reset the connection, which hangs i-PI 3.3.
            select.select([self._socket], [], [], _REST_TIMEOUT)
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            _log.warning("lost i-PI: %s", error, extra={"code": "engine_lost"})
            self._disconnect()
            return None
        if not data:
            reason = "it closed the connection"
            _log.warning("lost i-PI: %s", reason, extra={"code": "engine_lost"})
            self._disconnect()
            return None
        return data

    def _answer(self) -> None:
        outgoing = self._connection.take_outgoing()
        if not outgoing or self._socket is None:
            return
        try:
            self._socket.settimeout(_SEND_TIMEOUT)
            self._socket.sendall(outgoing)
            self._socket.setblocking(False)
        except OSError as error:
            _log.warning("lost i-PI: %s", error, extra={"code": "engine_lost"})
            self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._try_at = self._clock() + self._pause
