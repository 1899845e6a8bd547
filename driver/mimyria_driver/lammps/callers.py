"""Callers: engines that say HELLO while another one is served, and how many are heard.

A caller has to wait and is told so. Only a few are, and only so often: whoever calls
beyond that is counted and not answered, and calls again, as the hook does. It knows no
socket. A rank of the run that streams is no caller.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mimyria_driver.lammps.notices import Notices

__all__ = ["Callers"]

_MOST: Final = 8  # callers that are answered
_FORGET: Final = 10.0  # s after which one that calls no more makes room
_PER_SECOND: Final = 20.0  # answers to all of them together
_AT_ONCE: Final = 20.0

_log = logging.getLogger(__name__)


class Callers:
    """Those who wait for the end of a run.

    Attributes:
        n_ignored: calls that were not answered.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nobody has called.

        Args:
            clock: seconds that only grow.
        """
        self.n_ignored = 0
        self._clock = clock
        self._heard: dict[bytes, float] = {}
        self._tokens = _AT_ONCE
        self._filled_at = clock()
        self._waits = Notices(clock)
        self._floods = Notices(clock)

    def heard(self, identity: bytes) -> bool:
        """Take note of a call; whether it should be answered."""
        if self._waits.due():
            _log.warning("another engine called while one is running; it must wait")
        if self._is_one_of_few(identity) and self._has_token():
            return True
        self.n_ignored += 1
        if self._floods.due():
            _log.warning(
                "engines call too many or too often while one is running; calls are "
                "not answered (%d so far)",
                self.n_ignored,
                extra={
                    "code": "greetings_ignored",
                    "fields": {"ignored": self.n_ignored},
                },
            )
        return False

    def _is_one_of_few(self, identity: bytes) -> bool:
        now = self._clock()
        self._heard = {
            known: last for known, last in self._heard.items() if now - last < _FORGET
        }
        if identity not in self._heard and len(self._heard) >= _MOST:
            return False
        self._heard[identity] = now
        return True

    def _has_token(self) -> bool:
        now = self._clock()
        filled = self._tokens + _PER_SECOND * (now - self._filled_at)
        self._tokens, self._filled_at = min(_AT_ONCE, filled), now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
