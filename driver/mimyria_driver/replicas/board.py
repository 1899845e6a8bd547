"""Board: the last status of each replica, and one snapshot of all.

It adds up plain numbers; it knows no thread, no file and no socket. The slowest replica
is the one with the fewest frames among those that have an engine; a silent one has an
engine, but no frame of it has become durable for a while.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from mimyria.diagnostics import VERDICTS
from mimyria_driver.snapshot import FINAL, Snapshot

__all__ = ["Board"]

_SUMS: Final = (
    "received",
    "in_flight",
    "durable",
    "duplicates",
    "segments",
    "missing",
    "sampled",
    "uncertain",
    "unchecked",
    "evaluated",
)
_OF_EACH: Final = (
    "state",
    "durable",
    "step",
    "in_flight",
    "segments",
    "missing",
    "uncertain",
    "engine_alive",
    "message",
)
_BY_URGENCY: Final = ("disk full", "running", "draining", "waiting", "loading")
_MOST_NAMED: Final = 10

Status = Mapping[str, Any]

_NOTHING_SAID: Final[Status] = {**asdict(Snapshot()), "progress_age": 0.0}


class Board:
    """What the replicas have said of themselves."""

    def __init__(self, n_replicas: int, silence: float) -> None:
        """Nothing was said yet.

        Args:
            n_replicas: that there are.
            silence: s without a durable frame after which a replica is silent.
        """
        self._n_replicas = n_replicas
        self._silence = silence
        self._statuses: dict[int, Status] = {}

    def put(self, replica: int, status: Status) -> None:
        """Take in a status."""
        self._statuses[replica] = status

    def state_of(self, replica: int) -> str:
        """What a replica does."""
        return str(self._statuses.get(replica, {}).get("state", "loading"))

    @property
    def state(self) -> str:
        """What all of them do, as far as one word says it."""
        states = self._states()
        return next((state for state in _BY_URGENCY if states[state]), "ended")

    def snapshot(self) -> Snapshot:
        """The sums, and what stands out."""
        there = [self._statuses[number] for number in sorted(self._statuses)]
        engines = [status for status in there if status["engine"]]
        first = engines[0] if engines else {}
        return Snapshot(
            state=self.state,
            engine=str(first.get("engine", "")),
            atoms=int(first.get("atoms", 0)),
            engine_alive=_alive(engines),
            engine_waits=any(status["engine_waits"] for status in there),
            step=min((int(status["step"]) for status in engines), default=-1),
            temperature=_mean(engines, "temperature"),
            last_uncertain=max((s["last_uncertain"] for s in there), default=-1),
            errors=_errors(engines),
            checks=_checks(engines),
            timings=_timings(there),
            progress=_progress(there),
            replicas=self._summary(),
            **{name: sum(status[name] for status in there) for name in _SUMS},
        )

    def _states(self) -> Counter[str]:
        return Counter(self.state_of(number) for number in range(self._n_replicas))

    def _summary(self) -> dict[str, Any]:
        """What stands out among them."""
        live = {
            number: status
            for number, status in sorted(self._statuses.items())
            if status["engine"] and status["state"] not in FINAL
        }
        slowest = min(live, key=lambda n: int(live[n]["durable"]), default=None)
        silent = [number for number, status in live.items() if self._is_silent(status)]
        failed = [
            n for n, s in sorted(self._statuses.items()) if s["state"] == "failed"
        ]
        return {
            "number": self._n_replicas,
            "states": dict(self._states()),
            "slowest": slowest,
            "slowest_frames": None if slowest is None else live[slowest]["durable"],
            "most_frames": max((int(s["durable"]) for s in live.values()), default=0),
            "silent": silent[:_MOST_NAMED],
            "n_silent": len(silent),
            "failed": failed[:_MOST_NAMED],
            "n_failed": len(failed),
            "each": [self._row(number) for number in range(self._n_replicas)],
        }

    def _row(self, replica: int) -> dict[str, Any]:
        """What is said of a single one."""
        status = self._statuses.get(replica, _NOTHING_SAID)
        return {
            "replica": replica,
            **{name: status[name] for name in _OF_EACH},
            "progress_age": float(status["progress_age"]),
            "silent": self._is_silent(status),
        }

    def _is_silent(self, status: Status) -> bool:
        there = bool(status["engine"]) and status["state"] == "running"
        return there and status["progress_age"] > self._silence


def _alive(statuses: Sequence[Status]) -> bool | None:
    """Whether the engine of any replica that runs was heard of lately."""
    running = [s["engine_alive"] for s in statuses if s["state"] == "running"]
    known = [alive for alive in running if alive is not None]
    return any(known) if known else None


def _mean(statuses: Sequence[Status], name: str) -> float:
    """Mean over the frames of all."""
    known = [s for s in statuses if s[name] is not None and math.isfinite(s[name])]
    total = sum(int(status["durable"]) for status in known)
    if not total:
        return math.nan
    return math.fsum(float(s[name]) * int(s["durable"]) for s in known) / total


def _errors(statuses: Sequence[Status]) -> dict[str, float]:
    """Of the mean of independent runs: 1/r² = Σ 1/r_k²."""
    weights: dict[str, float] = {}
    for status in statuses:
        for name, error in status["errors"].items():
            weights[name] = weights.get(name, 0.0) + 1.0 / float(error) ** 2
    return {name: 1.0 / math.sqrt(weight) for name, weight in weights.items()}


def _checks(statuses: Sequence[Status]) -> str:
    """The worst that one of them says, until there is a common result."""
    said = [str(status["checks"]) for status in statuses]
    for verdict in reversed(VERDICTS):
        found = [text for text in said if verdict in text]
        if found:
            return f"{found[0]} ({len(found)} of {len(said)} replicas)"
    return ""


def _timings(statuses: Sequence[Status]) -> dict[str, dict[str, Any]]:
    """Sums of the histograms; the median of the medians, the worst of the rest."""
    names = sorted({name for status in statuses for name in status["timings"]})
    return {
        name: _timing([s["timings"][name] for s in statuses if name in s["timings"]])
        for name in names
    }


def _timing(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = zip(*(timing["buckets"] for timing in found), strict=True)
    medians = sorted(t["p50"] for t in found if t["p50"] is not None)
    return {
        "count": sum(timing["count"] for timing in found),
        "sum": math.fsum(timing["sum"] for timing in found),
        "p50": medians[len(medians) // 2] if medians else None,
        "p99": max((t["p99"] for t in found if t["p99"] is not None), default=None),
        "buckets": [
            [column[0][0], sum(number for _, number in column)] for column in columns
        ],
    }


def _progress(statuses: Sequence[Status]) -> float | None:
    known = [s["progress"] for s in statuses if s["progress"] is not None]
    return math.fsum(known) / len(known) if known else None
