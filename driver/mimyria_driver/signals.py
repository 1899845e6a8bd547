"""Signals: SIGTERM, SIGINT and SIGUSR1 as a request that the loop looks at."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopRequest"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """Whether somebody wants the run to stop; handlers live inside the context.

    Attributes:
        signal_name: of the first signal, or None.
        urgent: whether a second one came: do not finish the frames that are under way.
    """

    def __init__(self) -> None:
        """No request."""
        self.signal_name: str | None = None
        self.urgent = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        """Take over the signals."""
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.urgent = self.signal_name is not None
        self.signal_name = self.signal_name or signal.Signals(number).name
