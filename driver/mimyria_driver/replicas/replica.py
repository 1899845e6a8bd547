"""Replica: one run of many, in a thread of its own from its first to its last step."""

from __future__ import annotations

import dataclasses
import io
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console

from mimyria.errors import MimyriaError, OutputError, one_line
from mimyria.storage import Result
from mimyria_driver.labels import REPLICA
from mimyria_driver.monitor import Monitor, read_status
from mimyria_driver.replicas.broker import Broker
from mimyria_driver.service import Service
from mimyria_driver.settings import Settings
from mimyria_driver.sharing import Share
from mimyria_driver.signals import StopRequest
from mimyria_driver.snapshot import Snapshot
from mimyria_driver.sources import Source

__all__ = ["Replica"]

_NEVER: Final = 1e9
"""Seconds between two lines of progress: there would be too many of them."""

_log = logging.getLogger(__name__)


class Replica:
    """One of many.

    Attributes:
        number: of the replica.
        failure: why it ended, if that was an error.
        was_over: whether its engine had ended before this driver was started.
        service: what serves it, once it has its run folder.
    """

    def __init__(
        self,
        number: int,
        settings: Settings,
        stop: StopRequest,
        make_source: Callable[[Settings], Source],
    ) -> None:
        """Nothing is opened yet.

        Args:
            number: of the replica.
            settings: its own.
            stop: that of all.
            make_source: opens where its frames come from.
        """
        self.number = number
        self.failure: Exception | None = None
        self.service: Service | None = None
        self.was_over = _was_over(settings)
        self._settings = settings
        self._stop = stop
        self._make_source = make_source
        self._thread: threading.Thread | None = None

    def start(
        self,
        broker: Broker,
        share: Share,
        watch: Callable[[dict[str, Any]], None],
        ended: Callable[[], object],
    ) -> None:
        """Serve it from now on.

        Args:
            broker: has the networks.
            share: takes its results.
            watch: gets each status.
            ended: called at its end.
        """

        def serve() -> None:
            REPLICA.set(self.number)
            try:
                self._serve(broker, share, watch)
            finally:
                ended()

        name = f"replica {self.number}"
        self._thread = threading.Thread(target=serve, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is served."""
        return self._thread is not None and self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join()

    def result(self) -> Result | None:
        """What it has, when it is served no more; None: too little."""
        return None if self.service is None else self.service.result()

    def _serve(
        self,
        broker: Broker,
        share: Share,
        watch: Callable[[dict[str, Any]], None],
    ) -> None:
        settings = self._settings
        monitor = Monitor(
            settings.run.directory,
            report=_NEVER,
            console=Console(file=io.StringIO(), quiet=True),
            watchers=[watch],
        )
        facade = broker.open()
        try:
            self.service = Service(
                settings,
                lambda: self._make_source(settings),
                monitor,
                self._stop,
                lambda path: facade,
                share,
            )
            self.service.run()
        except Exception as error:
            self.failure = error
            self._say(error, watch)
        finally:
            facade.close()

    def _say(self, error: Exception, watch: Callable[[dict[str, Any]], None]) -> None:
        text = one_line(error)
        fields = {"error": type(error).__name__}
        extra = {"code": "replica_failed", "fields": fields}
        if isinstance(error, MimyriaError):
            _log.error("%s", text, extra=extra)
        else:
            _log.exception("%s", text, extra=extra)
        if self.service is None:  # it has had no status
            watch(_failed(text))


def _was_over(settings: Settings) -> bool:
    try:
        return bool(read_status(settings.run.directory)["state"] == "ended")
    except OutputError:
        return False


def _failed(text: str) -> dict[str, Any]:
    """The status of a replica that could not begin."""
    snapshot = dataclasses.asdict(Snapshot(state="failed", message=text))
    return {**snapshot, "progress_age": 0.0}
