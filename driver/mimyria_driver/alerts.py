"""Alerts: which news of a run is worth waking somebody.

It turns one status after the other into alerts: each condition when it begins, once an
hour at most, and once when it is over. It delivers nothing and knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Alert", "AlertRules"]

_FINAL: Final = {"ended": "finished", "failed": "failed"}
_ONCE: Final = {
    "gap": "frames are missing in the series; a new segment begins",
    "io_error": "the disk gave an error",
    "canary_failed": "the networks gave other numbers than before for the same frame",
    "repeat_differed": "the networks gave other numbers for the same frames",
    "quarantine": "a frame was put aside",
}
"""Codes of events that are worth an alert as such."""
_QUIET: Final = ("checks", "gpu_slow")
"""Conditions that a night's sleep does not change; the status shows them."""
_CALM_STATUSES: Final = 3
"""So many statuses without a condition end it: what flickers has not ended."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One message.

    Attributes:
        name: of the condition, stable.
        level: warning, critical or info.
        text: one line for people.
        resolved: whether it says that the condition is over.
    """

    name: str
    level: str
    text: str
    resolved: bool = False


class _Active:
    """A condition that holds."""

    def __init__(self) -> None:
        self.told = False
        self.calm = 0
        self.text = ""


class AlertRules:
    """What was told already."""

    def __init__(self, hold_off: float) -> None:
        """Nothing was told.

        Args:
            hold_off: least seconds between two alerts of the same name.
        """
        self._hold_off = hold_off
        self._active: dict[str, _Active] = {}
        self._told_at: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._final = False

    def judge(self, now: float, status: Mapping[str, Any]) -> list[Alert]:
        """Alerts that this status causes.

        Args:
            now: seconds that only grow.
            status: of the monitor.
        """
        alerts = self._events(now, status)
        present = {
            each["name"]: each
            for each in status["conditions"]
            if each["name"] not in _QUIET
        }
        if status["state"] in _FINAL:
            present = {}
        for name, each in present.items():
            self._active.setdefault(name, _Active()).calm = 0
            if self._may_tell(now, name):
                alerts.append(Alert(name, each["level"], each["text"]))
                self._active[name].told = True
            self._active[name].text = each["text"]
        for name, active in list(self._active.items()):
            if name in present:
                continue
            active.calm += 1
            if active.calm >= _CALM_STATUSES or status["state"] in _FINAL:
                del self._active[name]
                if active.told:
                    alerts.append(Alert(name, "info", f"over: {active.text}", True))
        return alerts + self._ends(status)

    def _events(self, now: float, status: Mapping[str, Any]) -> list[Alert]:
        alerts = []
        for code, text in _ONCE.items():
            count = status["events"].get(code, 0)
            more = count > self._counts.get(code, 0)
            self._counts[code] = count
            if more and self._may_tell(now, code):
                alerts.append(Alert(code, "warning", text))
        return alerts

    def _ends(self, status: Mapping[str, Any]) -> list[Alert]:
        name = _FINAL.get(status["state"])
        if name is None or self._final:
            return []
        self._final = True
        level = "critical" if name == "failed" else "info"
        text = f"{status['message'] or 'the run is over'} ({status['durable']} frames)"
        return [Alert(name, level, text)]

    def _may_tell(self, now: float, name: str) -> bool:
        if now - self._told_at.get(name, -self._hold_off) < self._hold_off:
            return False
        self._told_at[name] = now
        return True
