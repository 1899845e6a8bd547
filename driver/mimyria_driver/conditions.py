"""Conditions: what is not as it should be, from a status alone.

They colour `mimyria-driver status` and cause alerts. Each is a fact of this moment that
comes and goes; it decides nothing about the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Limits", "conditions"]

_USUAL: Final = "power cap"
"""A GPU at work is held at its limit of power."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a condition begins.

    Attributes:
        silence: s without a frame made durable, after an engine has come.
        disk_hours: hours until the disk is full.
        restarts: evaluators replaced within an hour.
        job_seconds: s until the job is ended by its time limit.
    """

    silence: float = 900.0
    disk_hours: float = 2.0
    restarts: int = 3
    job_seconds: float = 600.0


def conditions(status: Mapping[str, Any], limits: Limits) -> list[dict[str, str]]:
    """All that hold: `name`, `level` ("warning" or "critical") and `text` of each."""
    found = [
        _silence(status, limits),
        _disk(status, limits),
        _restarts(status, limits),
        _job(status, limits),
        _rules(status),
        _gpu(status),
        _failed(status),
        _silent(status),
    ]
    return [each for each in found if each is not None]


def _silence(status: Mapping[str, Any], limits: Limits) -> dict[str, str] | None:
    age = status["progress_age"]
    if status["state"] not in ("running", "draining") or age <= limits.silence:
        return None
    text = f"no frame has become durable for {age / 60:.0f} min"
    if status["state"] == "running" and status["engine_alive"] is False:
        return _condition("engine_lost", "warning", f"the engine is gone; {text}")
    return _condition("no_progress", "critical", text)


def _disk(status: Mapping[str, Any], limits: Limits) -> dict[str, str] | None:
    if status["state"] == "disk full":
        text = "the disk is full; the engine waits until there is room"
        return _condition("disk_full", "critical", text)
    hours = status["disk"]["hours_to_full"]
    if hours is None or hours >= limits.disk_hours:
        return None
    return _condition("disk", "warning", f"the disk will be full in {hours:.1f} h")


def _restarts(status: Mapping[str, Any], limits: Limits) -> dict[str, str] | None:
    number = status["restarts_last_hour"]
    if number <= limits.restarts:
        return None
    text = f"the evaluator was replaced {number} times within an hour"
    return _condition("restarts", "warning", text)


def _job(status: Mapping[str, Any], limits: Limits) -> dict[str, str] | None:
    job = status["job"]
    if job is None or job["seconds_left"] is None:
        return None
    errors = status["errors"]
    missed = any(
        errors.get(name, math.inf) > wanted
        for name, wanted in status["targets"].items()
    )
    if job["seconds_left"] >= limits.job_seconds or not missed:
        return None
    minutes = max(0.0, job["seconds_left"] / 60)
    text = f"the job ends in {minutes:.0f} min, before the wanted error is reached"
    return _condition("job_end", "warning", text)


def _rules(status: Mapping[str, Any]) -> dict[str, str] | None:
    if "wrong" not in status["checks"]:
        return None
    return _condition("checks", "warning", "a sum rule is wrong")


def _gpu(status: Mapping[str, Any]) -> dict[str, str] | None:
    slowed = (status["gpu"] or {}).get("slowed_by", ())
    reasons = [name for name in slowed if name != _USUAL]
    if not reasons:
        return None
    return _condition("gpu_slow", "warning", f"the GPU is slowed: {', '.join(reasons)}")


def _failed(status: Mapping[str, Any]) -> dict[str, str] | None:
    text = _named(status.get("replicas") or {}, "failed")
    return _condition("replica_failed", "critical", text) if text else None


def _silent(status: Mapping[str, Any]) -> dict[str, str] | None:
    text = _named(status.get("replicas") or {}, "silent")
    return _condition("replica_silent", "warning", text) if text else None


def _named(replicas: Mapping[str, Any], what: str) -> str | None:
    """How many of the replicas are it, and which."""
    number = replicas.get(f"n_{what}", 0)
    if not number:
        return None
    names = ", ".join(str(each) for each in replicas[what])
    more = ", ..." if number > len(replicas[what]) else ""
    return f"{what}: {number} of {replicas['number']} replicas ({names}{more})"


def _condition(name: str, level: str, text: str) -> dict[str, str]:
    return {"name": name, "level": level, "text": text}
