"""Series: the steps of a run, counted, kept and turned into frames.

i-PI numbers nothing, so a configuration has its step from what it is to the known ones:
the last one again, the next one, one that i-PI went back to, or none of these. Each is
kept, for a driver that is killed, and velocities are central differences, one step
late. What is said to i-PI this module does not know.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mimyria.frame import Array, Beads, Frame
from mimyria.ringpolymer import ring_polymer
from mimyria_driver.ipi.memory import Memory
from mimyria_driver.ipi.placing import Attendance, follows
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.ipi.spool import Configuration, Spool
from mimyria_driver.ipi.units import in_angstrom
from mimyria_driver.sources import Arrived, RunDescription
from mimyria_driver.velocities import CentralDifference, Sample

__all__ = ["Place", "Series"]

_log = logging.getLogger(__name__)


class Place(enum.Enum):
    """What the first configuration of a connection is to the known ones."""

    REPEATED = 0
    NEXT = 1
    UNKNOWN = 2


class Series:
    """The known steps of one run.

    Attributes:
        step: of the latest configuration; −1: there is none.
    """

    def __init__(
        self, description: RunDescription, spool: Spool | None, memory: Memory
    ) -> None:
        """Nothing is known but what `replay` gives.

        Args:
            description: of the run.
            spool: where configurations wait for the journal, or None.
            memory: which step a configuration was.
        """
        self.step = -1
        self._description = description
        self._spool = spool
        self._memory = memory
        self._difference = CentralDifference(description.time_step)
        self._attendance = Attendance()
        self._previous_step = -1
        self._back_to: int | None = None

    @property
    def samples(self) -> Sequence[Sample]:
        """The latest configurations, oldest first."""
        return self._difference.samples

    @property
    def is_kept(self) -> bool:
        """Whether configurations survive a kill."""
        return self._spool is not None

    @property
    def was_left(self) -> bool:
        """Whether an earlier driver has left configurations."""
        return self._spool is not None and bool(self._spool.kept)

    # -- the first configuration of a connection --------------------------------------

    def place(self, event: Positions) -> Place:
        """What the first configuration of a connection is to the known ones."""
        if self._repeats_last(event):
            return Place.REPEATED
        # A configuration that is remembered comes first: a molecule that swings may
        # look as if it went on.
        self._back_to = self._memory.recall(event.cell, event.positions)
        if self._back_to is not None:
            _log.warning("i-PI went back from step %d to %d", self.step, self._back_to)
            return Place.UNKNOWN
        if follows(self._difference.samples, self._next(event)):
            return Place.NEXT
        return Place.UNKNOWN

    def begin(self, event: Positions, durable_step: int) -> None:
        """Give a configuration its step that is not the next one of the known ones.

        One that is known has the step that it had. Else it counts as the first one
        after `durable_step`: i-PI does not say how many steps it has made, so that a
        stream which does not begin a run begins with a gap, and its first step lies two
        strides ahead.

        Raises:
            OSError: it cannot be kept, so that a kill now makes a gap; it is known.
        """
        latest = max(durable_step, self.step)
        if self._back_to is not None:
            self.step = self._back_to
        else:
            self.step = 0 if latest < 0 else self._after_a_gap(latest)
        self._break()
        self._difference.push(self._sample(event))
        self._keep(event)

    # -- those after it ---------------------------------------------------------------

    def notice_a_gap(self, event: Positions) -> None:
        """Begin anew where i-PI has given steps to another client.

        Raises:
            FrameError: it does so again and again.
        """
        if self._attendance.is_broken(self._difference.samples, self._next(event)):
            _log.warning("i-PI has left out steps after step %d", self.step)
            self.step = self._after_a_gap(self.step) - 1
            self._break()

    def keep_next(self, event: Positions) -> None:
        """Count the next configuration and make it survive a kill.

        Raises:
            OSError: it cannot be kept, and may be given again.
        """
        self.step += 1
        self._join(event)
        try:
            self._keep(event)
        except OSError:
            self.step -= 1
            raise

    def frames(self, event: Positions) -> list[Arrived]:
        """The frame that the latest configuration completes, if there is one."""
        self._difference.push(self._sample(event))
        if (self.step - 1) % self._description.stride:
            return []  # the step before is not sampled, and needs no velocities
        found = self._difference.velocities()
        if found is None:
            return []
        sample, velocities = found
        frame = _frame(self._description, sample, velocities)
        previous, self._previous_step = self._previous_step, sample.step
        return [Arrived(frame, previous)]

    # -- what outlives the driver -----------------------------------------------------

    def replay(self) -> Iterator[tuple[Positions, list[Arrived]]]:
        """The configurations of an earlier driver, and their frames.

        They may be missing in the journal.
        """
        assert self._spool is not None
        for each in self._spool.kept:
            if each.step != self.step + 1:
                self._break()
            self.step = each.step
            n_atoms = len(each.positions) // 24
            event = Positions(each.rid, each.cell, each.positions, n_atoms)
            yield event, self.frames(event)

    def forget(self, step: int) -> None:
        """Positions before this step are not needed any more."""
        if self._spool is not None:
            self._spool.forget(step)

    def close(self) -> None:
        """Release the files; what is in them stays."""
        self._memory.close()
        if self._spool is not None:
            self._spool.close()

    def _break(self) -> None:
        """The next frame has no neighbour before it."""
        self._previous_step = -1
        self._difference.clear()

    def _join(self, event: Positions) -> None:
        """After a step back: whether the way goes on as it did, velocities and all.

        Then the frame before, which this stream has not sent, is a neighbour.
        """
        if self._back_to is None or self.step != self._back_to + 1:
            return
        if self._memory.knows(self.step, event.cell, event.positions):
            stride = self._description.stride
            self._previous_step = self._back_to // stride * stride
        self._back_to = None

    def _keep(self, event: Positions) -> None:
        """Make this configuration survive a kill, before it is answered.

        Raises:
            OSError: it cannot be written.
        """
        if self._spool is not None:
            self._spool.append(
                Configuration(self.step, event.rid, event.cell, event.positions)
            )
        self._memory.remember(self.step, event.cell, event.positions)

    def _after_a_gap(self, step: int) -> int:
        """A step that does not follow this one."""
        return (step // self._description.stride + 2) * self._description.stride

    def _next(self, event: Positions) -> Sample:
        return replace(self._sample(event), step=self.step + 1)

    def _sample(self, event: Positions) -> Sample:
        return Sample(self.step, *in_angstrom(event.positions, event.cell))

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


def _frame(description: RunDescription, sample: Sample, velocities: Array) -> Frame:
    """The frame of one step; its beads stand one after the other in the sample."""
    numbers = description.numbers
    if not description.n_beads:
        return Frame(numbers, sample.positions, sample.cell, velocities, sample.step)
    shape = (description.n_beads, len(numbers), 3)
    beads = Beads(sample.positions.reshape(shape), velocities.reshape(shape))
    return ring_polymer(numbers, beads, sample.cell, sample.step)
