"""Gathering: the results of all replicas, each made in the thread that serves it.

    the ensemble asks ──► each replica makes its result when it next comes by ──► pooled

It knows results and threads; no source, no evaluator and no journal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from mimyria.storage import Result
from mimyria_driver.replicas.pooling import lean

__all__ = ["Gathering"]


class Gathering:
    """One round of results at a time."""

    def __init__(self, n_replicas: int) -> None:
        """Nothing is asked for.

        Args:
            n_replicas: that there are.
        """
        self._n_replicas = n_replicas
        self._lock = threading.Lock()
        self._wanted: set[int] = set()
        self._found: dict[int, Result] = {}

    @property
    def open(self) -> frozenset[int]:
        """Replicas that were asked and have not answered."""
        return frozenset(self._wanted)

    def ask(self, replicas: set[int]) -> None:
        """Begin a round.

        Args:
            replicas: those that are served; they answer when they come by.
        """
        with self._lock:
            self._found.clear()
            self._wanted = set(replicas)

    def share_of(self, replica: int) -> Callable[[Callable[[], Result | None]], None]:
        """What the service of a replica offers its result to."""

        def share(make: Callable[[], Result | None]) -> None:
            if replica in self._wanted:
                self.give(replica, make())

        return share

    def give(self, replica: int, result: Result | None) -> None:
        """The result of a replica; None: it has too little for one."""
        with self._lock:
            if result is not None:
                self._found[replica] = lean(result, self._n_replicas)
            self._wanted.discard(replica)

    def skip(self, replica: int) -> None:
        """Do not wait for a replica that is not served any more."""
        with self._lock:
            self._wanted.discard(replica)

    def take(self) -> dict[int, Result]:
        """All results of the round; it is over."""
        with self._lock:
            found, self._found = self._found, {}
            self._wanted = set()
            return found
