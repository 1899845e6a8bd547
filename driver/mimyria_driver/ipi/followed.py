"""Followed: what is followed of all that i-PI asks about.

One bead, or all beads of a ring polymer. A request about anything else is counted here
and has no part in the run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mimyria.errors import FrameError
from mimyria_driver.ipi.beads import BeadGathering
from mimyria_driver.ipi.protocol import Positions
from mimyria_driver.velocities import Sample

__all__ = ["Followed"]

_log = logging.getLogger(__name__)


class Followed:
    """Tells our requests from foreign ones, and makes one configuration of each step.

    Attributes:
        first_rid: identity of the one bead that is followed; None: not known yet.
        n_foreign: requests about other beads or systems.
    """

    def __init__(
        self, n_atoms: int, first_rid: int | None, beads: BeadGathering | None
    ) -> None:
        """No request has come yet.

        Args:
            n_atoms: of each bead.
            first_rid: of the bead to follow; without it, that of the first request.
            beads: gathers those of a ring polymer; None: one bead is followed.
        """
        self.first_rid = first_rid
        self.n_foreign = 0
        self._n_atoms = n_atoms
        self._beads = beads

    @property
    def is_ring_polymer(self) -> bool:
        """Whether all beads are followed."""
        return self._beads is not None

    def begin_connection(self) -> None:
        """i-PI may be another one now."""
        if self._beads is not None:
            self._beads.begin_connection()

    def owns(self, rid: int) -> bool:
        """Whether a request is about what is followed; else it is counted as foreign.

        Raises:
            SettingsError: the ring polymer has more beads than it should.
        """
        if self._is_ours(rid):
            return True
        self._note_foreign(rid)
        return False

    def whole(self, event: Positions, samples: Sequence[Sample]) -> Positions | None:
        """The configuration of a step, of the system or of all its beads.

        Args:
            event: positions of a bead, one that `owns` says yes to.
            samples: the latest known steps, oldest first.

        Returns:
            None: beads of this step are missing.

        Raises:
            FrameError: another number of atoms than the settings have, or beads that
                make no step.
            OSError: the bead cannot be kept; nothing has changed.
        """
        if event.n_atoms != self._n_atoms:
            raise FrameError(
                f"i-PI sends {event.n_atoms} atoms, but the settings name "
                f"{self._n_atoms}. Make the two agree."
            )
        if self._beads is None:
            return event
        return self._beads.take(event, samples)

    def done(self) -> None:
        """The step is kept, or known."""
        if self._beads is not None:
            self._beads.done()

    def known(self, whole: Positions) -> None:
        """An earlier driver had this step."""
        self.first_rid = whole.rid
        if self._beads is not None:
            self._beads.known(whole.rid, whole)

    def close(self) -> None:
        """Release the file; what is in it stays."""
        if self._beads is not None:
            self._beads.close()

    def _is_ours(self, rid: int) -> bool:
        if self._beads is not None:
            return self._beads.owns(rid)
        if self.first_rid is None:
            self.first_rid = rid
        return rid == self.first_rid

    def _note_foreign(self, rid: int) -> None:
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
