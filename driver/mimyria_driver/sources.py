"""Sources: what an engine, a socket or a stored trajectory is to the service.

A source turns bytes into events; it knows no network, no journal and no spectrum. The
service polls it only while it has room for more frames: that is the only back-pressure,
and it works alike for every source, because an engine that is not read from waits.

Order of events: `Started`, then frames in rising step order, then `Ended`. An engine
that comes back gives `Started` again. The service answers each `Started` by `accept`
or `refuse` before it receives on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mimyria.domainsums import DomainSums
from mimyria.frame import Array, Frame

__all__ = [
    "Arrived",
    "Ended",
    "EngineModels",
    "Event",
    "RunDescription",
    "Source",
    "Started",
    "Summed",
]


@dataclass(frozen=True, slots=True, eq=False)
class EngineModels:
    """Networks that an engine asks itself, and the kinds of atoms it adds up by.

    Attributes:
        digests: SHA-256 of the model of each target.
        shares: for each target (n_kinds,), see `mimyria.domainsums.SumRule`, or None.
        symbols: element of each kind.
        masses: (n_kinds,) amu.
    """

    digests: Mapping[str, str]
    shares: Mapping[str, Array | None]
    symbols: tuple[str, ...]
    masses: Array

    @property
    def n_kinds(self) -> int:
        """Kinds of atoms."""
        return len(self.symbols)


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """What the engine's networks say of one frame.

    Attributes:
        sums: over all atoms, before any sum rule is kept.
        excess: as in `mimyria.contributions.Sample`.
    """

    sums: DomainSums
    excess: float


@dataclass(frozen=True, slots=True, eq=False)
class RunDescription:
    """What a source says about its run before the first frame.

    Attributes:
        engine: name and version of the engine, for people.
        numbers: (n_atoms,) — atomic numbers, in the order of every frame.
        masses: (n_atoms,) amu.
        time_step: MD time step, fs.
        stride: MD steps from one sampled frame to the next.
        models: networks that the engine asks itself; None where we do.
        n_beads: beads of each frame, whose currents are averaged; 0: frames have none.
    """

    engine: str
    numbers: NDArray[np.int64]
    masses: Array
    time_step: float
    stride: int
    models: EngineModels | None = None
    n_beads: int = 0

    @property
    def interval(self) -> float:
        """Time from one sampled frame to the next, fs."""
        return self.time_step * self.stride


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """An engine is there and has described its run."""

    description: RunDescription


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """One sampled frame, with velocities, in internal units.

    Attributes:
        frame: the frame; `frame.velocities` is never None.
        previous_step: step of the sampled frame before it, −1 for the first frame of an
            engine's stream. A step that is missing between the two is a gap.
        summed: what the engine's own networks made of it, where it has some.
    """

    frame: Frame
    previous_step: int
    summed: Summed | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine said that its run is over.

    Attributes:
        reason: one line for people.
    """

    reason: str


Event = Started | Arrived | Ended


class Source(Protocol):
    """A stream of frames."""

    @property
    def pollable(self) -> object | None:
        """What `zmq.Poller` can wait on, or None where `receive` never has to wait."""
        ...

    def receive(self) -> list[Event]:
        """All events that are there now, without waiting (perhaps none)."""
        ...

    def accept(self, durable_step: int) -> None:
        """Answer to `Started`: go on after `durable_step` (−1: from the start)."""
        ...

    def refuse(self, reason: str) -> None:
        """Answer to `Started`: this run cannot be served, and why."""
        ...

    def acknowledge(self, step: int) -> None:
        """Every frame up to `step` is safe on disk; the engine may forget it."""
        ...

    def close(self, *, coming_back: bool = False) -> None:
        """Release the socket.

        Args:
            coming_back: a driver will be started again, so an engine that can wait for
                it should; else it is told that it may go on alone.
        """
        ...
