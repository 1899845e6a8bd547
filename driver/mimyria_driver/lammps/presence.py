"""Presence: whether the engine that is served is still there.

It is there as long as each of its ranks has a connection: an engine that calculates for
an hour says nothing, and its process keeps the connection alive. One that was killed,
or is behind a dead line, has none. The hook may renew its socket, so a connection that
is missing for a moment means nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from mimyria_driver.lammps.doorman import Doorman
from mimyria_driver.lammps.letters import Letter

__all__ = ["Presence"]

_GRACE: Final = 3.0  # s without a connection
_INTERVAL: Final = 0.2  # s between two looks

_log = logging.getLogger(__name__)


class Presence:
    """Watches the connections of one engine after the other.

    Attributes:
        lost: whether the present engine is gone, which was said.
    """

    def __init__(self, doorman: Doorman, clock: Callable[[], float]) -> None:
        """No engine has come.

        Args:
            doorman: knows which connections are open.
            clock: seconds that only grow.
        """
        self.lost = False
        self._doorman = doorman
        self._clock = clock
        self._ranks: dict[int, int] = {}  # number of the connection of each
        self._addresses: dict[int, str] = {}
        self._gone_at: float | None = None
        self._look_at = clock()

    @property
    def alive(self) -> bool | None:
        """Whether it is there; None: no engine is served."""
        return not self.lost if self._ranks else None

    def met(self, rank: int, letter: Letter) -> None:
        """A rank of the engine speaks over this connection."""
        number = self._doorman.number(letter.descriptor)
        if rank in self._ranks and number in (0, self._ranks[rank]):
            return  # known; or of a connection that was closed before it was read
        self._ranks[rank] = number
        self._addresses[rank] = letter.address
        if not self.lost:
            self._watch()

    def left(self, rank: int) -> None:
        """A rank has said goodbye; its connection may end."""
        if rank in self._ranks:
            self._ranks[rank] = 0

    def forget(self) -> None:
        """No engine is served any more."""
        self._ranks.clear()
        self._addresses.clear()
        self._gone_at, self.lost = None, False
        self._doorman.relax()

    def look(self) -> None:
        """Say it when the engine is gone, and when it is there again."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _INTERVAL
        missing = {number for number in self._ranks.values() if number}
        missing -= self._doorman.connections
        if not missing:
            self._gone_at = None
            if self.lost:
                self.lost = False
                self._watch()
                _log.info("the engine is there again", extra={"code": "engine_back"})
        elif self._gone_at is None:
            self._gone_at = now
        elif not self.lost and now - self._gone_at >= _GRACE:
            self.lost = True
            # The next one may have any number of ranks.
            self._doorman.relax()
            _log.warning(
                "the connection to the engine is gone; the driver waits for it",
                extra={"code": "engine_lost"},
            )

    def say_replaced(self) -> None:
        """The engine is gone for good: another one is served instead."""
        if self.lost:  # that it is gone was said
            _log.info("another engine takes the place of the one that is gone")
            return
        _log.warning(
            "the engine is gone; another one takes its place",
            extra={"code": "engine_lost"},
        )

    def _watch(self) -> None:
        self._doorman.watch(self._ranks.values(), self._addresses.values())
