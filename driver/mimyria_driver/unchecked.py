"""Unchecked: frames whose records no canary stands behind yet, and when to ask for one.

A record may be durable and acknowledged, and the engine may have forgotten the frame;
if the device then proves to have calculated wrongly, the frame has to be here still. So
frames stay in memory from one good canary to the next, and a full memory is a reason to
ask for the next. It knows times and frames, and no process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mimyria.frame import Frame
from mimyria_driver.pending import Pending

__all__ = ["Unchecked"]

_MOST_BYTES: Final = 64 << 20


class Unchecked:
    """The frames since the last good canary, in the order of their records."""

    def __init__(
        self, batches: int, seconds: float, most_bytes: int = _MOST_BYTES
    ) -> None:
        """Begin with no frames.

        Args:
            batches: after so many of them a canary is due; 0: never, and nothing is
                kept.
            seconds: and after so many seconds.
            most_bytes: and after so many bytes of frames.
        """
        self._batches = batches
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._kept: list[Pending] = []
        self._asked = True  # nothing to ask about
        self._restart()

    def __len__(self) -> int:
        """Frames that are kept."""
        return len(self._kept)

    @property
    def open(self) -> bool:
        """Whether there are samples that no canary was asked about."""
        return not self._asked

    def submitted(self, batch: Sequence[Pending]) -> bool:
        """Count a batch that is on its way; whether a canary is due behind it."""
        self._n_batches += 1
        self._n_bytes += sum(_size(pending.frame) for pending in batch)
        return self._batches > 0 and (
            self._n_batches >= self._batches
            or self._n_bytes >= self._most_bytes
            or time.monotonic() - self._since >= self._seconds
        )

    def asked(self) -> None:
        """A canary is on its way."""
        self._asked = True
        self._restart()

    def came(self) -> None:
        """A sample has come, with or without room for its record."""
        self._asked = not self._batches

    def add(self, pending: Pending) -> None:
        """Keep the frame of a record; one that goes back voids those behind it."""
        if not self._batches:
            return
        if pending.place.rollback:
            step = pending.frame.step
            self._kept = [kept for kept in self._kept if kept.frame.step < step]
        self._kept.append(pending)

    def take(self) -> list[Pending]:
        """All of them, which are no longer kept: they are good, or come again.

        They rise in step, so that none of them voids another when it comes again.
        """
        kept, self._kept = self._kept, []
        self._asked = True
        return [replace(k, place=replace(k.place, rollback=False)) for k in kept]

    def _restart(self) -> None:
        self._n_batches = 0
        self._n_bytes = 0
        self._since = time.monotonic()


def _size(frame: Frame) -> int:
    velocities = 0 if frame.velocities is None else frame.velocities.nbytes
    return int(frame.positions.nbytes + velocities + frame.cell.nbytes)
