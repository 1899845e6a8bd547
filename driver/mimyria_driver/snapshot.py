"""Snapshot: the state of the driver in plain numbers, at one moment.

Service and session fill it; monitor, status file, metrics and alerts read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["FINAL", "GOAL", "LIVE", "Snapshot", "part_of_way"]

LIVE: Final = ("loading", "waiting", "running", "disk full", "draining")
"""States of a driver that is there."""

FINAL: Final = ("ended", "stopped", "failed")
"""States of one that has gone."""

GOAL: Final = 0.05
"""Relative error for which the remaining time is shown, where there is no target."""


def part_of_way(error: float, target: float) -> float:
    """Frames so far over those that the target takes, at most 1; 0: not known.

    N / N' = (r' / r)²
    """
    return min(1.0, (target / error) ** 2) if 0 < error < math.inf else 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the driver in plain numbers.

    Attributes:
        state: one of `LIVE` or `FINAL`.
        engine: name and version, empty before one has come.
        atoms: number of atoms.
        received: frames that arrived since the start of this process.
        in_flight: received frames that are not yet durable: the lag behind the engine.
        engine_waits: whether the networks, not the engine, set the pace.
        durable: frames in the journal, safe on disk or about to be.
        duplicates: frames that arrived again and were dropped.
        segments: unbroken pieces of the series.
        missing: frames missing between them.
        step: last MD step in the series, −1: none.
        sampled: simulated time in the series, ps.
        temperature: mean kinetic temperature, K.
        uncertain: frames that the networks are not sure of.
        last_uncertain: step of the latest of them, −1: none.
        errors: relative statistical error of each kind of spectrum: from blocks, worst
            band; while there are too few blocks, that of theory.
        targets: wanted errors of them.
        bands: all that is known of each band; `from_blocks` says which error it is.
        checks: sum rules of the run in a few words.
        restarts: evaluators that had to be replaced.
        device: where the networks run.
        hardware: what that is, with versions.
        unchecked: frames since the last good canary.
        repeated: frames that were evaluated twice to compare, and were the same, since
            the start of this process.
        unusual: frames far outside of those before, which were the same once more,
            since then.
        last_unusual: step of the latest of them, −1: none.
        mismatches: times that the device gave wrong numbers since then.
        gpu: memory, utilisation, temperature, why it is slowed and errors of the GPU;
            None: there is none, or nothing is known of it.
        message: a warning, or why the run is over.
        evaluated: frames whose currents came back since the start of this process.
        run_id: of the run folder, made once; empty where it has none.
        models: digest of the model of each target.
        engine_alive: whether the engine has a connection; None: not known.
        timings: durations by name ("evaluate", "acknowledge", "sync") in s, each as
            `Durations.summary` gives them.
        progress: part of the frames that were read, 0 to 1; None: not known.
        replicas: of a run that has some: their `number`, how many are in which of the
            `states`, the `slowest` with an engine and its `slowest_frames`, the
            `most_frames` of one; which are `silent` or `failed` (the first ten), and
            how many, `n_silent` and `n_failed`; of `each` what its own status says.
    """

    state: str = "loading"
    engine: str = ""
    atoms: int = 0
    received: int = 0
    in_flight: int = 0
    engine_waits: bool = False
    durable: int = 0
    duplicates: int = 0
    segments: int = 0
    missing: int = 0
    step: int = -1
    sampled: float = 0.0
    temperature: float = math.nan
    uncertain: int = 0
    last_uncertain: int = -1
    errors: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    bands: Sequence[Mapping[str, Any]] = ()
    checks: str = ""
    restarts: int = 0
    device: str = ""
    hardware: str = ""
    unchecked: int = 0
    repeated: int = 0
    unusual: int = 0
    last_unusual: int = -1
    mismatches: int = 0
    gpu: Mapping[str, Any] | None = None
    message: str = ""
    progress: float | None = None
    evaluated: int = 0
    run_id: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    engine_alive: bool | None = None
    timings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    replicas: Mapping[str, Any] | None = None

    def seconds_to_target(self, rate: float) -> dict[str, float]:
        """How long each error still takes to its target, for those that are above it.

        N' = N (r / r')²

        Args:
            rate: frames per second.
        """
        if rate <= 0 or self.state != "running":
            return {}
        seconds: dict[str, float] = {}
        for name, error in self.errors.items():
            target = self.targets.get(name, GOAL)
            wanted = self.durable * (error / target) ** 2 - self.durable
            if wanted > 0:
                seconds[name] = wanted / rate
        return seconds
