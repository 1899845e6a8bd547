"""Conversation: what i-PI says over one connection after the other, and our replies.

It joins a `Line` with `mimyria_driver.ipi.protocol` and tells an end of i-PI from an
end of the connection. What a configuration is to the run it does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from mimyria_driver.ipi.audit import audit
from mimyria_driver.ipi.line import Line
from mimyria_driver.ipi.protocol import (
    Connection,
    Event,
    Exit,
    Init,
    IpiProtocolError,
    Positions,
    State,
)

__all__ = ["Conversation"]

_log = logging.getLogger(__name__)


class Conversation:
    """The messages of i-PI, one by one.

    A request is replied to first and answered then: only `answer` sends.
    """

    def __init__(self, line: Line, max_atoms: int) -> None:
        """Nothing is opened before `connect`.

        Args:
            line: to i-PI.
            max_atoms: more are refused before their positions are taken in.
        """
        self._line = line
        self._max_atoms = max_atoms
        self._connection = Connection(None, max_atoms)
        self._heard: list[Event] = []  # and not taken yet
        self._asked = -1  # rid of the latest request
        self._exit_said = False  # by an i-PI that may nevertheless go on

    @property
    def pollable(self) -> object | None:
        """The socket; while i-PI is not there, one that never has anything."""
        return self._line.pollable

    @property
    def alive(self) -> bool | None:
        """Whether there is a connection to i-PI; None: there was none yet."""
        return self._line.is_open if self._line.was_open else None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._line.is_open

    @property
    def is_over(self) -> bool:
        """Whether it was closed for good."""
        return self._line.is_over

    def connect(self) -> bool:
        """Whether there is a new connection; what was heard before it is void."""
        if not self._line.connect():
            return False
        self._connection = Connection(None, self._max_atoms)
        self._heard = []
        return True

    def listen(self) -> bool:
        """Take in what i-PI has sent; False where it is nothing, or makes no sense."""
        state = self._connection.state
        data = self._line.read(under_way=state in (State.READY, State.HAVEDATA))
        if data is None:
            return False
        try:
            self._heard = self._connection.receive(data)
        except IpiProtocolError as error:
            _log.error("%s Connecting anew.", error)
            self.disconnect()
            return False
        return True

    def said(self) -> Iterator[Init | Positions]:
        """What i-PI said, one after the other.

        A message that could not be taken, so that the caller asks for no other, is the
        first one of the next time.
        """
        heard = self._heard
        while heard:
            event = heard[0]
            if isinstance(event, Exit):
                # The end, or a <timeout> that we did not meet: whether it is still
                # there tells the two apart.
                self._exit_said = True
                self.disconnect()
            else:
                if isinstance(event, Init):
                    self._exit_said = False
                else:
                    self._asked = event.rid
                yield event
            del heard[0]

    def take_end(self) -> bool:
        """Whether i-PI has ended, given once."""
        has_ended = self._exit_said and self._line.is_absent
        if has_ended:
            self._exit_said = False
        return has_ended

    def reply(self, step: int) -> None:
        """Reply to the latest request: which step it was, −1 if it is not known."""
        self._connection.answer(audit(step, self._asked))

    def answer(self) -> None:
        """Send what there is to send."""
        self._line.send(self._connection.take_outgoing())

    def disconnect(self) -> None:
        """Leave i-PI; a request that was not answered is sent to the next client."""
        self._line.disconnect()
        self._heard = []

    def close(self) -> None:
        """Leave i-PI for good."""
        self._line.close()
