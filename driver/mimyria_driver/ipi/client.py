"""i-PI as a source: the driver as a client that feels no force.

Book-keeping between a `Line` and `mimyria_driver.ipi.protocol`. i-PI sends positions
only, of every MD step, without a step number: the client counts, and makes velocities
by central differences, one step late. All beads of a ring polymer are one step, see
`beads`. A request is answered as soon as its positions
are in the spool, with zeros whatever becomes of them, so that no error of ours reaches
the dynamics and a driver that is killed misses nothing. A request that was not answered
is sent again, to the bit, to the next client.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import (
    EngineError,
    FrameError,
    MimyriaError,
    OutputError,
    SettingsError,
)
from mimyria.frame import Array, Beads, Frame
from mimyria.ringpolymer import ring_polymer
from mimyria_driver.ipi.audit import audit
from mimyria_driver.ipi.beads import BeadGathering
from mimyria_driver.ipi.line import Line
from mimyria_driver.ipi.memory import Memory
from mimyria_driver.ipi.parameters import check_parameters
from mimyria_driver.ipi.placing import Attendance, follows
from mimyria_driver.ipi.protocol import (
    Connection,
    Exit,
    Init,
    IpiProtocolError,
    Positions,
    State,
)
from mimyria_driver.ipi.spool import Configuration, Spool
from mimyria_driver.ipi.units import in_angstrom
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
_COMPLAIN_INTERVAL: Final = 60.0  # s between two lines about a full disk

Heard = Init | Positions | Exit


class _Place(enum.Enum):
    """What the first configuration of a connection is to the known ones."""

    REPEATED = 0
    NEXT = 1
    UNKNOWN = 2


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
        self._line = Line(address, clock)
        self._description = RunDescription(
            "i-PI",
            numbers,
            masses,
            time_step,
            stride,
            n_beads=n_beads if n_beads > 1 else 0,
        )
        self._n_beads = n_beads
        self._first_rid = first_rid
        self._clock = clock
        # A wrong number is an error that names it; an absurd one is not taken in.
        self._max_atoms = max(10 * len(numbers), _LEAST_MAX_ATOMS)
        self._connection = Connection(None, self._max_atoms)
        self._difference = CentralDifference(time_step)
        self._attendance = Attendance()
        self._step = -1
        self._previous_step = -1
        self._unmatched = True  # the first frame of a connection is not placed yet
        self._offer: Positions | None = None
        self._asked = -1  # rid of the latest request
        self._back_to: int | None = None
        self._closed = False
        self._exit_said = False  # by an i-PI that may nevertheless go on
        self._failure: MimyriaError | None = None
        self._recovered = False
        self._complain_at = -float("inf")
        self._held: list[Heard] = []
        self._queue: list[Event] = []
        self.n_foreign = 0
        self._spool, self._memory, self._beads = _open_memories(
            folder, len(numbers), n_beads
        )
        # What an earlier driver had not brought into the journal comes first.
        self._recovering = self._spool is not None and bool(self._spool.kept)

    @property
    def pollable(self) -> object | None:
        """The socket; while i-PI is not there, one that never has anything."""
        return self._line.pollable

    @property
    def alive(self) -> bool | None:
        """Whether there is a connection to i-PI; None: there was none yet."""
        return self._line.is_open if self._line.was_open else None

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

    def _receive(self) -> list[Event]:
        events: list[Event] = []
        try:
            events += self._take_all(self._held)
            while not self._is_waiting and self._is_connected():
                data = self._read()
                if data is None:
                    break
                try:
                    self._held = list(self._connection.receive(data))
                except IpiProtocolError as error:
                    _log.error("%s Connecting anew.", error)
                    self._disconnect()
                    break
                events += self._take_all(self._held)
            if self._exit_said and self._line.is_absent:
                self._exit_said = False
                events.append(Ended("i-PI has ended"))
        except (FrameError, SettingsError) as error:
            self._failure = error
        except OSError as error:
            # i-PI waits for its answer, and that is all: it will come.
            self._complain(error)
        return events

    @property
    def _is_waiting(self) -> bool:
        """Whether nothing may be read now."""
        return self._closed or self._offer is not None or self._recovered

    def _take_all(self, heard: list[Heard]) -> list[Event]:
        """Take what i-PI said, one after the other, then answer."""
        events: list[Event] = []
        while heard:
            events += self._take(heard[0])
            del heard[0]
        if self._offer is not None and self._spool is None:
            # Nothing is kept, so the answer has to wait for nothing.
            self._say(-1)
        self._answer()
        return events

    def accept(self, durable_step: int) -> None:
        """Give a configuration that was offered its step.

        One that is known has the step that it had. Else it counts as the first one
        after `durable_step`: i-PI does not say how many steps it has made, so that a
        stream which does not begin a run begins with a gap, and its first step lies two
        strides ahead.
        """
        if self._recovered:
            self._recovered = False
            self._queue = self._replay()
            return
        offer = self._require_offer()
        latest = max(durable_step, self._step)
        if self._back_to is not None:
            self._step = self._back_to
        else:
            self._step = 0 if latest < 0 else self._after_a_gap(latest)
        self._previous_step = -1
        self._difference.clear()
        try:
            self._keep(offer)
        except OSError as error:
            self._complain(error)  # not kept, so a kill now makes a gap
        self._difference.push(self._sample(offer))
        self._step_is_kept()
        if self._spool is not None:
            self._say(self._step)
        self._answer()

    def refuse(self, reason: str) -> None:
        """Leave i-PI, which then waits for a client that can serve it."""
        if self._recovered:
            self._recovered = False
        else:
            self._require_offer()
        _log.error("left i-PI: %s", reason)
        self._closed = True
        # The answer is left to the next client: this configuration is sent again.
        self._disconnect()

    def acknowledge(self, step: int) -> None:
        """Every frame up to `step` is safe: positions before it are not needed."""
        if self._spool is not None:
            self._spool.forget(step)

    def close(self, *, coming_back: bool = False) -> None:
        """Leave i-PI, which waits for another client in any case.

        Args:
            coming_back: makes no difference here.
        """
        if self._line.is_over:
            return
        self._closed = True
        self._line.close()
        self._memory.close()
        for each in (self._spool, self._beads):
            if each is not None:
                each.close()

    # -- events -----------------------------------------------------------------------

    def _take(self, event: Heard) -> list[Event]:
        if isinstance(event, Exit):
            # The end, or a <timeout> that we did not meet: whether it is still there
            # tells the two apart.
            self._exit_said = True
            self._disconnect()
            return []
        if isinstance(event, Init):
            self._exit_said = False
            wanted = self._description.time_step
            check_parameters(event.parameters, wanted, self._n_beads)
            return []
        self._asked = event.rid
        if not self._is_ours(event.rid):
            self._say_foreign(event.rid)
            self._say(-1)
            return []
        n_atoms = len(self._description.numbers)
        if event.n_atoms != n_atoms:
            raise FrameError(
                f"i-PI sends {event.n_atoms} atoms, but the settings name {n_atoms}. "
                "Make the two agree."
            )
        if self._beads is None:
            return self._take_step(event)
        whole = self._beads.take(event, self._difference.samples)
        if whole is None:
            self._say(-1 if self._unmatched else self._step + 1)
            return []
        return self._take_step(whole)

    def _say_foreign(self, rid: int) -> None:
        """Another bead, another system, or a clone that looks at displaced positions.

        Said once.
        """
        self.n_foreign += 1
        if self.n_foreign == 1:
            _log.warning(
                "i-PI asks about number %d, too: another bead or system, or displaced "
                "atoms. Such requests are answered and not counted",
                rid,
                extra={"code": "foreign_requests"},
            )

    def _is_ours(self, rid: int) -> bool:
        if self._beads is not None:
            return self._beads.owns(rid)
        if self._first_rid is None:
            self._first_rid = rid
        return rid == self._first_rid

    def _take_step(self, event: Positions) -> list[Event]:
        """Take the configuration of a step: of the system, or of all its beads."""
        if not self._unmatched:
            if self._beads is None:  # of beads, each is missed by its number
                self._notice_a_gap(event)
            return self._take_next(event)
        self._unmatched = False
        place = self._place(event)
        if place is _Place.REPEATED:
            self._step_is_kept()
            self._say(self._step)
            return []
        if place is _Place.UNKNOWN:
            self._offer = event
            return [Started(self._description)]
        return self._take_next(event)

    def _take_next(self, event: Positions) -> list[Event]:
        self._step += 1
        self._join(event)
        try:
            self._keep(event)
        except OSError:
            self._step -= 1  # it is taken again later
            raise
        self._step_is_kept()
        self._say(self._step)
        return self._next_frame(self._sample(event))

    def _step_is_kept(self) -> None:
        if self._beads is not None:
            self._beads.done()

    def _place(self, event: Positions) -> _Place:
        """What the first configuration of a connection is to the known ones."""
        if self._repeats_last(event):
            return _Place.REPEATED
        # A configuration that is remembered comes first: a molecule that swings may
        # look as if it went on.
        self._back_to = self._memory.recall(event.cell, event.positions)
        if self._back_to is not None:
            _log.warning("i-PI went back from step %d to %d", self._step, self._back_to)
            return _Place.UNKNOWN
        if follows(self._difference.samples, self._next(event)):
            return _Place.NEXT
        return _Place.UNKNOWN

    def _notice_a_gap(self, event: Positions) -> None:
        """Begin anew where i-PI has given steps to another client.

        Raises:
            FrameError: it does so again and again.
        """
        if self._attendance.is_broken(self._difference.samples, self._next(event)):
            _log.warning("i-PI has left out steps after step %d", self._step)
            self._step = self._after_a_gap(self._step) - 1
            self._previous_step = -1
            self._difference.clear()

    def _join(self, event: Positions) -> None:
        """After a step back: whether the way goes on as it did, velocities and all.

        Then the frame before, which this stream has not sent, is a neighbour.
        """
        if self._back_to is None or self._step != self._back_to + 1:
            return
        if self._memory.knows(self._step, event.cell, event.positions):
            stride = self._description.stride
            self._previous_step = self._back_to // stride * stride
        self._back_to = None

    def _keep(self, event: Positions) -> None:
        """Make this configuration survive a kill, before it is answered.

        Raises:
            OSError: it cannot be written.
        """
        configuration = Configuration(
            self._step, event.rid, event.cell, event.positions
        )
        if self._spool is not None:
            self._spool.append(configuration)
        self._memory.remember(self._step, event.cell, event.positions)

    def _replay(self) -> list[Event]:
        """The frames of an earlier driver that may be missing in the journal."""
        assert self._spool is not None
        events: list[Event] = []
        for each in self._spool.kept:
            if each.step != self._step + 1:
                self._difference.clear()
                self._previous_step = -1
            self._step = each.step
            self._first_rid = each.rid
            n_atoms = len(each.positions) // 24
            event = Positions(each.rid, each.cell, each.positions, n_atoms)
            events += self._next_frame(self._sample(event))
            if self._beads is not None:
                self._beads.known(each.rid, event)
        return events

    def _next_frame(self, newest: Sample) -> list[Event]:
        self._difference.push(newest)
        if (self._step - 1) % self._description.stride:
            return []  # the step before is not sampled, and needs no velocities
        found = self._difference.velocities()
        if found is None:
            return []
        sample, velocities = found
        numbers = self._description.numbers
        if self._beads is None:
            frame = Frame(
                numbers, sample.positions, sample.cell, velocities, sample.step
            )
        else:
            shape = (self._n_beads, len(numbers), 3)
            beads = Beads(sample.positions.reshape(shape), velocities.reshape(shape))
            frame = ring_polymer(numbers, beads, sample.cell, sample.step)
        previous, self._previous_step = self._previous_step, sample.step
        return [Arrived(frame, previous)]

    def _complain(self, error: OSError) -> None:
        now = self._clock()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_INTERVAL
            _log.error(
                "positions cannot be kept (%s); i-PI waits until they can",
                error.strerror or error,
            )

    def _after_a_gap(self, step: int) -> int:
        """A step that does not follow this one."""
        return (step // self._description.stride + 2) * self._description.stride

    def _next(self, event: Positions) -> Sample:
        return replace(self._sample(event), step=self._step + 1)

    def _sample(self, event: Positions) -> Sample:
        return Sample(self._step, *in_angstrom(event.positions, event.cell))

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

    def _require_offer(self) -> Positions:
        if self._offer is None:
            raise EngineError("There is no engine that waits for an answer.")
        offer, self._offer = self._offer, None
        return offer

    # -- connection -------------------------------------------------------------------

    def _is_connected(self) -> bool:
        if self._line.is_open:
            return True
        if not self._line.connect():
            return False
        self._connection = Connection(None, self._max_atoms)
        self._unmatched = True
        if self._beads is not None:
            self._beads.begin_connection()
        self._held = []
        return True

    def _read(self) -> bytes | None:
        state = self._connection.state
        return self._line.read(under_way=state in (State.READY, State.HAVEDATA))

    def _say(self, step: int) -> None:
        """Reply to the latest request: which step it was, −1 if it is not known."""
        self._connection.answer(audit(step, self._asked))

    def _answer(self) -> None:
        self._line.send(self._connection.take_outgoing())

    def _disconnect(self) -> None:
        self._line.disconnect()
        self._held = []


def _open_memories(
    folder: Path | None, n_atoms: int, n_beads: int
) -> tuple[Spool | None, Memory, BeadGathering | None]:
    """What outlives this process; without a folder the steps alone are remembered."""
    n_all = n_atoms * n_beads
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        beads = None
        if n_beads > 1:
            path = None if folder is None else folder / "ipi.beads"
            beads = BeadGathering(n_beads, n_atoms, path)
        if folder is None:
            return None, Memory(None, n_all), beads
        return (
            Spool(folder / "ipi.positions", n_all),
            Memory(folder / "ipi.memory", n_all),
            beads,
        )
    except OSError as error:
        raise OutputError(
            f"{folder}: positions of i-PI cannot be kept here "
            f"({error.strerror or error}). Make room, or choose another run.directory."
        ) from error
