"""DrivenClient: answers i-PI's requests one by one, each with an extra string.

    STATUS … POSDATA ──► answers.extras ──► FORCEREADY: 0, zeros, zeros, extras

i-PI waits meanwhile. Where there is no answer it gets none: the connection is closed in
an orderly way, the request goes to the next client, and the error is raised.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Final

from mimyria.errors import EngineError
from mimyria_driver.driven.answers import Answers
from mimyria_driver.ipi.line import Line
from mimyria_driver.ipi.parameters import require_no_batch
from mimyria_driver.ipi.protocol import (
    Connection,
    Event,
    Exit,
    IpiProtocolError,
    Positions,
    State,
)

__all__ = ["DrivenClient"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.2  # between two looks at signals and the clock


class DrivenClient:
    """One client of i-PI, over as many connections as it takes."""

    def __init__(
        self,
        address: str,
        answers: Answers,
        *,
        max_atoms: int,
        patience: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened before `serve`.

        Args:
            address: see `parse_address`.
            answers: what is said to each configuration.
            max_atoms: more are refused before they are taken in.
            patience: seconds without a request after which it ends; 0: never.
            clock: seconds that only grow.

        Raises:
            SettingsError: the address is none.
        """
        self._line = Line(address, clock)
        self._answers = answers
        self._max_atoms = max_atoms
        self._patience = patience
        self._clock = clock
        self._connection = Connection(None, max_atoms)
        self._heard_at = clock()
        self._exit_said = False  # by an i-PI that may nevertheless go on

    def serve(self, is_over: Callable[[], bool]) -> bool:
        """Answer until i-PI says that it has ended.

        Args:
            is_over: whether to end before.

        Returns:
            Whether i-PI has ended.

        Raises:
            EngineError: nothing came for too long.
            MimyriaError: a configuration has no answer; i-PI is left.
        """
        try:
            while not is_over():
                self._require_patience()
                if self._is_connected():
                    self._listen()
                elif self._exit_said and self._line.is_absent:
                    return True
            return False
        finally:
            self._line.close()

    def _is_connected(self) -> bool:
        if self._line.is_open:
            return True
        if not self._line.connect():
            time.sleep(_LOOK_SECONDS / 4)
            return False
        self._connection = Connection(None, self._max_atoms)
        self._answers.connected()
        return True

    def _listen(self) -> None:
        """Take what is there and answer it."""
        select.select([self._line.pollable], [], [], _LOOK_SECONDS)
        state = self._connection.state
        data = self._line.read(under_way=state in (State.READY, State.HAVEDATA))
        if data is None:
            return
        try:
            events = self._connection.receive(data)
        except IpiProtocolError as error:
            _log.error("%s Connecting anew.", error)
            self._line.disconnect()
            return
        for event in events:
            self._take(event)
        self._line.send(self._connection.take_outgoing())

    def _take(self, event: Event) -> None:
        self._heard_at = self._clock()
        if isinstance(event, Exit):
            # The end, or a <timeout> that we did not meet: whether it is still there
            # tells the two apart.
            self._exit_said = True
            self._line.disconnect()
        elif isinstance(event, Positions):
            self._connection.answer(self._answers.extras(event))
            self._heard_at = self._clock()
        else:
            self._exit_said = False
            require_no_batch(event.parameters)

    def _require_patience(self) -> None:
        waited = self._clock() - self._heard_at
        if 0 < self._patience < waited:
            raise EngineError(
                f"Nothing came from i-PI for {waited:.0f} s. Start again when it runs."
            )
