"""Beads: the requests of one step of a ring polymer, gathered to one configuration.

i-PI asks about one bead after the other, in any order, and each request has to be
answered before the next one comes. INIT tells which bead it is: the numbers of a ring
polymer of P beads are base to base + P − 1, and what has another number is another
system, or looks at displaced beads. The configuration of a step is that of all beads
one after the other, as if they were one system: whatever recognises single
configurations recognises those of ring polymers, too.

Beads of a step that is not complete are kept in a file, because i-PI does not send
again what was answered. A connection that finds such beads goes on with them if what
it brings lies where the known steps lead; an i-PI that was started again begins a step
anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FrameError, SettingsError
from mimyria_driver.ipi.placing import follows
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.ipi.spool import Configuration, Spool
from mimyria_driver.ipi.units import in_angstrom
from mimyria_driver.velocities import Sample

__all__ = ["BeadGathering"]

_EARLY: Final = 2  # steps in which a bead too many is told from other systems
_MOST_SYSTEMS: Final = 64  # that one socket may serve before the beads are known
_SAME: Final = 1e-6  # Å, above what a checkpoint rounds away


class BeadGathering:
    """The beads of the present step that have come.

    Attributes:
        base: number of the first bead; None: not known yet.
    """

    def __init__(self, n_beads: int, n_atoms: int, path: Path | None) -> None:
        """Read what an earlier driver had of a step that was not complete.

        Args:
            n_beads: of the ring polymer.
            n_atoms: of each bead.
            path: where beads wait for the others; None: in memory only.

        Raises:
            OSError: the file cannot be used.
        """
        self.base: int | None = None
        self._n_beads = n_beads
        self._n_atoms = n_atoms
        self._spool = None if path is None else Spool(path, n_atoms)
        self._n_filed = 0  # of the beads that are there, those in the file
        self._n_steps = 0
        self._old: dict[int, Positions] = {}  # of an earlier connection
        self._new: dict[int, Positions] = {}
        self._repeated: set[int] | None = set()  # None: the connection went on
        for each in [] if self._spool is None else self._spool.kept:
            self._new[each.rid] = Positions(
                each.rid, each.cell, each.positions, n_atoms
            )
        self._n_filed = len(self._new)

    def known(self, base: int, last: Positions) -> None:
        """An earlier driver had this step; beads of it are waited for no longer."""
        self.base = base
        self._n_steps = _EARLY
        whole = {each.rid: each for each in self._parts(last)}
        if all(whole.get(rid) == each for rid, each in self._new.items()):
            self._new = {}
            self._n_filed = 0

    def begin_connection(self) -> None:
        """i-PI may be another one now: what is there may be of no use."""
        self._old |= self._new
        self._new = {}
        self._repeated = set()

    def owns(self, rid: int) -> bool:
        """Whether a request is about one of the beads, as far as is known.

        Raises:
            SettingsError: the ring polymer has more beads than it should.
        """
        if self.base is None:
            return True
        behind = self.base + self._n_beads
        if self._n_steps < _EARLY and rid in (self.base - 1, behind):
            raise SettingsError(
                f"i-PI asks about bead {rid}, beside the {self._n_beads} beads "
                f"{self.base} to {behind - 1} of source.beads. Give the nbeads of "
                "<initialize> there, and in the <parameters> of the ffsocket."
            )
        return self.base <= rid < behind

    def take(self, event: Positions, samples: Sequence[Sample]) -> Positions | None:
        """Take a bead.

        The last one of a step is not kept: `done` says that the step is. So it may be
        given again, and gives the step again.

        Args:
            event: the bead, one that `owns` says yes to.
            samples: the latest known steps of the ring polymer, oldest first.

        Returns:
            The configuration of all beads, if this one completes it.

        Raises:
            FrameError: a bead came twice before the others.
            OSError: the bead cannot be kept; nothing has changed.
        """
        if self._repeats(event, samples):
            return None
        before = self._new.get(event.rid)
        if before is not None:
            if before == event:
                return None
            raise self._twice(event.rid)
        if self._old and not self._goes_on(event, samples):
            self._forget_old()
        if event.rid in self._old:
            return None  # it was answered, or should have been
        whole = self._whole(event)
        if whole is None:
            self._file(event)
            self._new[event.rid] = event
        return whole

    def done(self) -> None:
        """The step is kept elsewhere, or known."""
        self._old = {}
        self._new = {}
        self._n_filed = 0
        self._n_steps += 1
        self._repeated = None

    def close(self) -> None:
        """Release the file; what is in it stays."""
        if self._spool is not None:
            self._spool.close()

    def _repeats(self, event: Positions, samples: Sequence[Sample]) -> bool:
        """Whether a new connection sends a bead of the last step again, once."""
        if self._repeated is None or self._new or event.rid in self._repeated:
            return False
        last = self._of_bead(event.rid, samples)[-1:]
        if not last or not _equal(self._sample(event, 0), last[0]):
            return False
        self._repeated.add(event.rid)
        if len(self._repeated) > 1:
            # Only an i-PI that was started again, at this very step, sends so many.
            self._forget_old()
        return True

    def _forget_old(self) -> None:
        self._old = {}
        self._n_filed = 0

    def _goes_on(self, event: Positions, samples: Sequence[Sample]) -> bool:
        """Whether the beads of an earlier connection belong to the step of this one."""
        there = self._old.get(event.rid)
        if there is not None:
            return there == event
        known = self._of_bead(event.rid, samples)
        if not known:
            return True
        new = self._sample(event, known[-1].step + 1)
        seen = any(np.abs(new.positions - k.positions).max() < _SAME for k in known)
        return not seen and follows(known, new)

    def _whole(self, event: Positions) -> Positions | None:
        there = self._old | self._new | {event.rid: event}
        base = self._base_of(there, event.rid)
        if base is None:
            return None
        beads = [there[base + bead] for bead in range(self._n_beads)]
        if len({each.cell for each in beads}) > 1:
            raise FrameError(
                f"the beads {base} to {base + self._n_beads - 1} of i-PI do not have "
                "one cell: several systems seem to share this ffsocket. Give each its "
                "own."
            )
        self.base = base
        return Positions(
            base,
            event.cell,
            b"".join(each.positions for each in beads),
            self._n_beads * self._n_atoms,
        )

    def _base_of(self, there: Iterable[int], newest: int) -> int | None:
        """The first of P neighbouring numbers, where all of them are there."""
        numbers = set(there)
        if self.base is not None:
            firsts = range(self.base, self.base + 1)
        else:
            firsts = range(newest - self._n_beads + 1, newest + 1)
            if len(numbers) > _MOST_SYSTEMS * self._n_beads:
                raise FrameError(
                    f"i-PI asks about {len(numbers)} beads, but no {self._n_beads} of "
                    "them are neighbours. Look at source.beads."
                )
        for first in firsts:
            if numbers.issuperset(range(first, first + self._n_beads)):
                return first
        return None

    def _file(self, event: Positions) -> None:
        """Make the beads that are there survive a kill, and one more."""
        if self._spool is None:
            return
        beads = [*self._old.values(), *self._new.values(), event]
        for index in range(self._n_filed, len(beads)):
            each = beads[index]
            # The first one, with the place 0, voids all that was there before.
            self._spool.append(
                Configuration(index, each.rid, each.cell, each.positions)
            )
            self._n_filed = index + 1

    def _parts(self, whole: Positions) -> list[Positions]:
        size = 24 * self._n_atoms
        return [
            Positions(
                whole.rid + bead,
                whole.cell,
                whole.positions[bead * size : (bead + 1) * size],
                self._n_atoms,
            )
            for bead in range(self._n_beads)
        ]

    def _of_bead(self, rid: int, samples: Sequence[Sample]) -> list[Sample]:
        """The same samples, of one bead alone."""
        if self.base is None:
            return []
        begin = (rid - self.base) * self._n_atoms
        atoms = slice(begin, begin + self._n_atoms)
        return [Sample(s.step, s.positions[atoms], s.cell) for s in samples]

    def _sample(self, event: Positions, step: int) -> Sample:
        return Sample(step, *in_angstrom(event.positions, event.cell))

    def _twice(self, rid: int) -> FrameError:
        return FrameError(
            f"i-PI asked about bead {rid} again after {len(self._new)} of the "
            f"{self._n_beads} beads of source.beads. Give the nbeads of <initialize> "
            "there, leave nbeads away in the <force> of the driver, and let one driver "
            "alone serve this ffsocket."
        )


def _equal(one: Sample, other: Sample) -> bool:
    return bool(
        np.array_equal(one.positions, other.positions)
        and np.array_equal(one.cell, other.cell)
    )
