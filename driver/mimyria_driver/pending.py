"""Pending: a frame that has its place in the series, but not yet its record."""

from __future__ import annotations

from dataclasses import dataclass

from mimyria.contributions import Sample
from mimyria.frame import Frame
from mimyria_driver.records import Record
from mimyria_driver.sequence import Place

__all__ = ["Pending"]


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """A frame that waits for its currents, or for its record where it has a sample."""

    frame: Frame
    place: Place
    digest: bytes
    stream: int = 0
    sample: Sample | None = None

    def record(self, sample: Sample, time_step: float, temperature: float) -> Record:
        """What is kept of the frame.

        Args:
            sample: its currents.
            time_step: fs.
            temperature: of its velocities, K.
        """
        frame = self.frame
        return Record(
            frame.step,
            self.place.previous_step,
            frame.step * time_step,
            frame.volume,
            temperature,
            sample.currents,
            self.digest,
            sample.contributions,
            sample.excess,
        )
