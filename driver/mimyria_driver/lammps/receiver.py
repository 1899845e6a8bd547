"""LAMMPS as a source: the driver's end of the hook's sockets.

A ROUTER socket, one conversation with each MPI rank. Joining and checking frames is the
`Session`'s; this module answers, and decides whose messages count.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import zmq

from mimyria.errors import EngineError, FrameError, SettingsError
from mimyria_driver.lammps.security import (
    Doorman,
    Keys,
    check_endpoint,
    is_tcp,
    receive_bounded,
)
from mimyria_driver.lammps.session import Session
from mimyria_driver.sources import Ended, Event, Started
from mimyria_driver.wire import (
    MAX_TEXT_BYTES,
    Kind,
    Message,
    WireError,
    decode,
    encode,
)

__all__ = ["LammpsReceiver"]

_log = logging.getLogger(__name__)

_CREDIT: Final = 12
# What a rank may send beyond its window while a new driver waits for the other ranks.
# They hear of it in their next call only, and make no step until this one does.
_ADVANCE: Final = 8
_BATCH: Final = 64  # messages read in one `receive`
_MAX_MESSAGE_BYTES: Final = 1 << 30
_SILENCE: Final = 8.0  # s without a word after which another engine may take over
_LOOK_INTERVAL: Final = 0.2  # s between two looks whether the engine is there
_WARN_INTERVAL: Final = 60.0  # s between two lines about another engine
_Peer = tuple[bytes, Message]  # its ZeroMQ identity and its HELLO


class LammpsReceiver:
    """A `Source` of frames from the hook inside LAMMPS."""

    def __init__(
        self,
        endpoint: str = "",
        *,
        keys: Keys | None = None,
        insecure_tcp: bool = False,
        bind_any: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the socket.

        Args:
            endpoint: ipc://PATH, or tcp:// with a loopback address; without one, a
                socket in a private directory, whose address `endpoint` tells.
            keys: of the run; TCP needs them.
            insecure_tcp: TCP on this machine without keys.
            bind_any: TCP for other machines, too.
            clock: seconds that only grow.

        Raises:
            SettingsError: the endpoint is unsafe or cannot be used.
        """
        self._clock = clock
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        if not endpoint:
            self._directory = tempfile.TemporaryDirectory(prefix="mimyria-")
            endpoint = f"ipc://{self._directory.name}/engine"
        check_endpoint(endpoint, encrypted=keys is not None, anywhere=bind_any)
        if is_tcp(endpoint) and keys is None and not insecure_tcp:
            raise SettingsError("TCP needs keys, because every user can connect to it.")
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        if not insecure_tcp or not is_tcp(endpoint):
            self._doorman = Doorman(self._context, keys)
            self._doorman.guard(self._socket)
        self._socket.linger = 0
        self._socket.router_mandatory = True
        self._socket.sndhwm = self._socket.rcvhwm = 8 * _CREDIT
        # A peer behind a dead line is dropped, so that its successor gets its place.
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5000)
        self._socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)
        before = os.umask(0o077)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise SettingsError(
                f"Cannot listen at {endpoint}: {error}. Choose another endpoint."
            ) from None
        finally:
            os.umask(before)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._peers: dict[int, _Peer] = {}
        self._session: Session | None = None
        self._offered = False
        self._failure: FrameError | None = None
        self._durable_step = -1
        self._gone: set[int] = set()
        self._reason = self._note = ""
        self._early: dict[tuple[int, int], Message] = {}
        self._sent_again: set[bytes] = set()
        self._heard_at = self._warn_at = self._look_at = clock()

    @property
    def pollable(self) -> object | None:
        """The socket."""
        return self._socket

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now, without waiting.

        Raises:
            FrameError: a frame does not belong to the run; the engine is told.
        """
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            events += self._take_early()
        except FrameError as error:
            self._fail(error)
        for _ in range(_BATCH):
            if self._offered or self._failure is not None:
                break
            try:
                raw = receive_bounded(self._socket)
            except zmq.Again:
                break
            identity = raw[0]
            try:
                message = decode(raw[1:])
            except WireError as error:
                _log.warning("ignored a message: %s", error)
                self._mend(identity)
                continue
            try:
                events += self._take(identity, message)
            except FrameError as error:
                self._fail(error)
        if self._failure is not None and not events:
            raise self._failure
        # The frames before a bad one are good: the error comes with the next call.
        return events

    def accept(self, durable_step: int) -> None:
        """Let the engine go on.

        It knows itself which of its frames were confirmed, and sends all others. Where
        it has gone back behind `durable_step` it may take another way from there, so
        that step says nothing about its frames; where it begins beyond, it is told.
        """
        session = self._require_offer()
        begin = max(hello.step for _, hello in self._peers.values())
        self._durable_step = max(-1, begin - 1)
        session.start_after(self._durable_step)
        self._say(Kind.WELCOME, step=self._durable_step, credit=_CREDIT)
        stride = session.description.stride
        self._note = ""
        if 0 <= durable_step < self._durable_step - stride:
            self._note = _gap(durable_step, begin, stride)
            self._say(Kind.NOTE, text=self._note)

    def refuse(self, reason: str) -> None:
        """Tell the engine that this run cannot be served; it ends with this text."""
        self._require_offer()
        self._say(Kind.REJECT, text=reason)
        self._forget_session()

    def acknowledge(self, step: int) -> None:
        """Every frame up to `step` is safe; the engine may forget it."""
        if self._session is None or self._offered:
            return
        step = min(step, self._session.last_step)
        if step > self._durable_step:
            self._durable_step = step
        if step >= 0:
            self._say(Kind.ACK, step=self._durable_step)

    def close(self, *, coming_back: bool = False) -> None:
        """Release all.

        Args:
            coming_back: an engine still there waits and sends again what was not
                acknowledged; else it is told to go on alone.
        """
        if self._socket.closed:
            return
        if not coming_back and getattr(self, "_session", None) is not None:
            self._say(Kind.BYE, text="the driver has ended")
            # Enough for a last word to leave through a local socket.
            self._socket.linger = 200
        self._socket.close()
        self._context.term()
        if self._directory is not None:
            self._directory.cleanup()

    def _fail(self, error: FrameError) -> None:
        self._say(Kind.REJECT, text=str(error))
        self._failure = error

    def _take_early(self) -> list[Event]:
        """The frames that came before the session was open, once it is accepted."""
        events: list[Event] = []
        if self._session is None or self._offered:
            return events
        early, self._early = self._early, {}
        for message in early.values():
            events += self._session.add(message)
        return events

    # -- messages ---------------------------------------------------------------------

    def _take(self, identity: bytes, message: Message) -> list[Event]:
        if message.kind is Kind.HELLO:
            return self._greet(identity, message)
        if message.kind is Kind.BYE:
            self._send(identity, self._reply(message, Kind.BYE_OK))
            return self._part(message)
        if not message.kind.is_frame:
            _log.warning("ignored a %s from an engine", message.kind.name)
            return []
        if not self._is_ours(message):
            self._ask_again(identity, self._reply(message, Kind.AGAIN))
            return []
        if self._session is None:
            self._keep_early(message)
            return []
        self._heard_at = self._clock()
        if message.step <= self._durable_step:
            # A frame sent again: its sender has missed the last word.
            self._send(
                identity, self._reply(message, Kind.ACK, step=self._durable_step)
            )
        events: list[Event] = list(self._session.add(message))
        if self._gone and message.step > self._session.last_step:
            events += self._break_off()
        return events

    def _keep_early(self, message: Message) -> None:
        """Hold a frame that came before the HELLO of another rank."""
        if len(self._early) >= (_CREDIT + _ADVANCE) * message.n_ranks:
            raise FrameError(
                f"Rank {message.rank} of {message.n_ranks} sends frames, but other "
                "ranks have not said HELLO. Look at the engine's log."
            )
        self._early[message.rank, message.step] = message

    def _greet(self, identity: bytes, hello: Message) -> list[Event]:
        if self._session is not None and self._is_ours(hello):
            # The same engine over a new connection; the service need not know.
            self._peers[hello.rank] = (identity, hello)
            self._heard_at = self._clock()
            welcome = self._reply(
                hello, Kind.WELCOME, step=self._durable_step, credit=_CREDIT
            )
            self._send(identity, welcome)
            if self._note:
                self._say(Kind.NOTE, text=self._note)
            return []
        if self._session is not None:
            if self._clock() - self._heard_at < _SILENCE and self._is_there():
                self._turn_away(identity, hello)
                return []
            _log.warning("the engine is gone; another one takes its place")
            self._forget_session()
        if any(peer.n_ranks != hello.n_ranks for _, peer in self._peers.values()):
            self._peers.clear()
            self._early.clear()
        self._peers[hello.rank] = (identity, hello)
        if len(self._peers) == hello.n_ranks:
            return self._open_session()
        if hello.credit:
            credit = min(hello.credit, _CREDIT) + _ADVANCE
            self._send(identity, self._reply(hello, Kind.WELCOME, credit=credit))
        return []

    def _is_there(self) -> bool:
        """Whether the engine still has a connection, as far as one can see."""
        if self._clock() < self._look_at:
            return True  # many calls are no reason to disturb it
        self._look_at = self._clock() + _LOOK_INTERVAL
        return any(
            self._send(known, self._reply(hello, Kind.ACK, step=self._durable_step))
            for known, hello in self._peers.values()
        )

    def _turn_away(self, identity: bytes, hello: Message) -> None:
        """Another engine has to wait, and is told so, as is the user, now and then."""
        note = self._reply(hello, Kind.NOTE)
        text = b"the driver serves another engine; this one waits for its end"
        self._send(identity, replace(note, parts=(text,)))
        if self._clock() >= self._warn_at:
            self._warn_at = self._clock() + _WARN_INTERVAL
            _log.warning("another engine called while one is running; it must wait")

    def _open_session(self) -> list[Event]:
        hellos = {rank: hello for rank, (_, hello) in self._peers.items()}
        try:
            session = Session(hellos)
        except (FrameError, WireError) as error:
            _log.warning("refused an engine: %s", error)
            self._say(Kind.REJECT, text=str(error))
            self._forget_session()
            return []
        self._session, self._offered = session, True
        self._durable_step = -1
        self._gone.clear()
        self._heard_at = self._clock()
        return [Started(session.description)]

    def _break_off(self) -> list[Event]:
        """A rank sends frames after another has left: there will be no whole ones."""
        reason = f"a part of the engine has left: {self._reason}"
        self._say(Kind.BYE, text=reason)
        self._forget_session()
        return [Ended(reason)]

    def _part(self, goodbye: Message) -> list[Event]:
        if self._session is None or not self._is_ours(goodbye):
            return []
        self._gone.add(goodbye.rank)
        self._reason = goodbye.text
        if len(self._gone) < self._session.n_ranks:
            return []
        self._forget_session()
        return [Ended(goodbye.text or "the engine has ended")]

    def _is_ours(self, message: Message) -> bool:
        peer = self._peers.get(message.rank)
        return peer is not None and peer[1].incarnation == message.incarnation

    def _require_offer(self) -> Session:
        if not self._offered or self._session is None:
            raise EngineError("There is no engine that waits for an answer.")
        self._offered = False
        return self._session

    def _forget_session(self) -> None:
        self._session = None
        self._peers.clear()
        self._early.clear()
        self._gone.clear()
        self._sent_again.clear()

    # -- sending ----------------------------------------------------------------------

    def _say(
        self, kind: Kind, *, step: int = -1, credit: int = 0, text: str = ""
    ) -> None:
        """One message to every rank."""
        for identity, hello in self._peers.values():
            message = self._reply(hello, kind, step=step, credit=credit)
            if kind in (Kind.REJECT, Kind.BYE, Kind.NOTE):
                message = replace(message, parts=(text.encode()[:MAX_TEXT_BYTES],))
            self._send(identity, message)

    def _mend(self, identity: bytes) -> None:
        """After a damaged message: have its sender, where known, send it again."""
        for known, hello in self._peers.values():
            if known == identity:
                self._ask_again(identity, self._reply(hello, Kind.AGAIN))

    def _ask_again(self, identity: bytes, message: Message) -> None:
        """AGAIN, once for each connection: the answer comes over a new one."""
        if identity not in self._sent_again and len(self._sent_again) < 10_000:
            self._sent_again.add(identity)
            self._send(identity, message)

    def _reply(
        self, message: Message, kind: Kind, *, step: int = -1, credit: int = 0
    ) -> Message:
        return Message(
            kind,
            step=step,
            credit=credit,
            rank=message.rank,
            n_ranks=message.n_ranks,
            incarnation=message.incarnation,
        )

    def _send(self, identity: bytes, message: Message) -> bool:
        """Send; False where the peer has no connection."""
        try:
            self._socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # The peer is gone or does not read; it will say HELLO when it is back.
            _log.debug("could not answer an engine: %s", error)
            return error.errno != errno.EHOSTUNREACH
        return True


def _gap(durable_step: int, begin: int, stride: int) -> str:
    """What the engine's log is told about frames that nobody has."""
    missing = (begin - durable_step - 1) // stride
    return (
        f"the driver has frames up to step {durable_step}, but this run begins at step "
        f"{begin}: {missing} frames are missing, and a new segment begins. Start from "
        "an older restart file to have them."
    )
