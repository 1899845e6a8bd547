"""i-PI as a source: the driver as a client that feels no force.

i-PI sends positions only, of every MD step, without a step number. They go one way:
a `Conversation` hears them, `Followed` picks ours and makes one configuration of each
step, a `Series` counts these and makes frames of them, which the client here gives to
the service.

A request is answered as soon as its positions are in the spool, with zeros whatever
becomes of them, so that no error of ours reaches the dynamics and a driver that is
killed misses nothing. A request that was not answered is sent again, to the bit, to the
next client.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import (
    EngineError,
    FrameError,
    MimyriaError,
    SettingsError,
)
from mimyria.frame import Array
from mimyria_driver.ipi.conversation import Conversation
from mimyria_driver.ipi.folder import open_memories
from mimyria_driver.ipi.followed import Followed
from mimyria_driver.ipi.line import Line
from mimyria_driver.ipi.parameters import check_parameters
from mimyria_driver.ipi.protocol import Init, Positions
from mimyria_driver.ipi.series import Place, Series
from mimyria_driver.sources import Ended, Event, RunDescription, Started

__all__ = ["IpiClient"]

_log = logging.getLogger(__name__)

_LEAST_MAX_ATOMS: Final = 100_000
_COMPLAIN_INTERVAL: Final = 60.0  # s between two lines about a full disk


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
        n_beads: int = 1,
        folder: Path | None = None,
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
            n_beads: of a ring polymer, all of which are wanted; 1: one is followed.
            folder: where positions wait for the journal; without it a client that is
                killed begins anew, with a gap.
            clock: seconds that only grow.

        Raises:
            SettingsError: a setting that cannot be used.
            OutputError: the folder cannot be used.
        """
        positive = time_step > 0 and stride >= 1 and n_beads >= 1
        if not (positive and len(numbers) == len(masses) > 0):
            raise SettingsError(
                "i-PI needs a time step above zero, a stride and beads of at least 1 "
                f"and one mass for each atom, but got {time_step} fs, {stride}, "
                f"{n_beads}, {len(masses)} masses for {len(numbers)} atoms."
            )
        # A wrong number is an error that names it; an absurd one is not taken in.
        max_atoms = max(10 * len(numbers), _LEAST_MAX_ATOMS)
        self._conversation = Conversation(Line(address, clock), max_atoms)
        self._description = RunDescription(
            "i-PI",
            numbers,
            masses,
            time_step,
            stride,
            n_beads=n_beads if n_beads > 1 else 0,
        )
        self._n_beads = n_beads
        self._clock = clock
        self._unmatched = True  # the first frame of a connection is not placed yet
        self._offer: Positions | None = None
        self._closed = False
        self._failure: MimyriaError | None = None
        self._recovered = False
        self._complain_at = -float("inf")
        self._queue: list[Event] = []
        spool, memory, beads = open_memories(folder, len(numbers), n_beads)
        self._followed = Followed(len(numbers), first_rid, beads)
        self._series = Series(self._description, spool, memory)
        # What an earlier driver had not brought into the journal comes first.
        self._recovering = self._series.was_left

    @property
    def pollable(self) -> object | None:
        """The socket; while i-PI is not there, one that never has anything."""
        return self._conversation.pollable

    @property
    def alive(self) -> bool | None:
        """Whether there is a connection to i-PI; None: there was none yet."""
        return self._conversation.alive

    @property
    def n_foreign(self) -> int:
        """Requests about other beads or systems; they are answered and not counted."""
        return self._followed.n_foreign

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now; connects if need be.

        Raises:
            FrameError: another number of atoms than the settings have.
            SettingsError: another time step than the settings have, or batches.
        """
        if self._failure is not None:
            raise self._failure
        if self._recovering:
            self._recovering = False
            self._recovered = True
            return [Started(self._description)]
        events, self._queue = self._queue, []
        try:
            events += self._receive()
        except (FrameError, SettingsError) as error:
            self._failure = error
        if self._failure is not None and not events:
            raise self._failure
        # The frames before a bad one are good: the error comes with the next call.
        return events

    def accept(self, durable_step: int) -> None:
        """Give a configuration that was offered its step, see `Series.begin`."""
        if self._recovered:
            self._recovered = False
            self._queue = self._replay()
            return
        offer = self._require_offer()
        try:
            self._series.begin(offer, durable_step)
        except OSError as error:
            self._complain(error)
        self._followed.done()
        if self._series.is_kept:
            self._conversation.reply(self._series.step)
        self._conversation.answer()

    def refuse(self, reason: str) -> None:
        """Leave i-PI, which then waits for a client that can serve it."""
        if self._recovered:
            self._recovered = False
        else:
            self._require_offer()
        _log.error("left i-PI: %s", reason)
        self._closed = True
        # The answer is left to the next client: this configuration is sent again.
        self._conversation.disconnect()

    def acknowledge(self, step: int) -> None:
        """Every frame up to `step` is safe: positions before it are not needed."""
        self._series.forget(step)

    def close(self, *, coming_back: bool = False) -> None:
        """Leave i-PI, which waits for another client in any case.

        Args:
            coming_back: makes no difference here.
        """
        if self._conversation.is_over:
            return
        self._closed = True
        self._conversation.close()
        self._series.close()
        self._followed.close()

    # -- events -----------------------------------------------------------------------

    def _receive(self) -> list[Event]:
        events: list[Event] = []
        try:
            events += self._take_all()
            while self._hears():
                events += self._take_all()
            if self._conversation.take_end():
                events.append(Ended("i-PI has ended"))
        except (FrameError, SettingsError) as error:
            self._failure = error
        except OSError as error:
            # i-PI waits for its answer, and that is all: it will come.
            self._complain(error)
        return events

    def _hears(self) -> bool:
        """Whether i-PI has said something that may be taken now."""
        if self._closed or self._offer is not None or self._recovered:
            return False
        return self._is_connected() and self._conversation.listen()

    def _is_connected(self) -> bool:
        if self._conversation.is_open:
            return True
        if not self._conversation.connect():
            return False
        self._unmatched = True
        self._followed.begin_connection()
        return True

    def _take_all(self) -> list[Event]:
        """Take what i-PI said, one after the other, then answer."""
        events: list[Event] = []
        for said in self._conversation.said():
            if isinstance(said, Init):
                wanted = self._description.time_step
                check_parameters(said.parameters, wanted, self._n_beads)
            else:
                events += self._take(said)
        if self._offer is not None and not self._series.is_kept:
            # Nothing is kept, so the answer has to wait for nothing.
            self._conversation.reply(-1)
        self._conversation.answer()
        return events

    def _take(self, event: Positions) -> list[Event]:
        """Take the positions of one request."""
        if not self._followed.owns(event.rid):
            self._conversation.reply(-1)
            return []
        whole = self._followed.whole(event, self._series.samples)
        if whole is None:
            self._conversation.reply(-1 if self._unmatched else self._series.step + 1)
            return []
        return self._take_step(whole)

    def _take_step(self, event: Positions) -> list[Event]:
        """Take the configuration of a step: of the system, or of all its beads."""
        if not self._unmatched:
            # Of beads, each is missed by its number.
            if not self._followed.is_ring_polymer:
                self._series.notice_a_gap(event)
            return self._take_next(event)
        self._unmatched = False
        place = self._series.place(event)
        if place is Place.REPEATED:
            self._followed.done()
            self._conversation.reply(self._series.step)
            return []
        if place is Place.UNKNOWN:
            self._offer = event
            return [Started(self._description)]
        return self._take_next(event)

    def _take_next(self, event: Positions) -> list[Event]:
        self._series.keep_next(event)
        self._followed.done()
        self._conversation.reply(self._series.step)
        return [*self._series.frames(event)]

    def _replay(self) -> list[Event]:
        """The frames of an earlier driver that may be missing in the journal."""
        events: list[Event] = []
        for event, frames in self._series.replay():
            events += frames
            self._followed.known(event)
        return events

    def _require_offer(self) -> Positions:
        if self._offer is None:
            raise EngineError("There is no engine that waits for an answer.")
        offer, self._offer = self._offer, None
        return offer

    def _complain(self, error: OSError) -> None:
        now = self._clock()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_INTERVAL
            _log.error(
                "positions cannot be kept (%s); i-PI waits until they can",
                error.strerror or error,
            )
