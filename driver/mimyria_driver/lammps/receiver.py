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
from typing import Final

import zmq

from mimyria.errors import EngineError, FrameError, SettingsError
from mimyria_driver.lammps.callers import Callers
from mimyria_driver.lammps.doorman import Doorman
from mimyria_driver.lammps.letters import Letter, receive_letter, waiting_hellos
from mimyria_driver.lammps.presence import Presence
from mimyria_driver.lammps.replies import (
    CREDIT,
    early_welcome,
    gap,
    most_early,
    reply,
    welcome,
)
from mimyria_driver.lammps.security import Keys, check_endpoint, is_tcp
from mimyria_driver.lammps.session import Session
from mimyria_driver.sources import Ended, Event, Started
from mimyria_driver.wire import Kind, Message, WireError, decode, encode

__all__ = ["LammpsReceiver"]

_log = logging.getLogger(__name__)

_BATCH: Final = 64  # messages read in one `receive`
_MAX_MESSAGE_BYTES: Final = 1 << 30
_LOOK_INTERVAL: Final = 0.2  # s between two looks whether the engine is there
_Peer = tuple[Letter, Message]  # its HELLO, and how that came


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
        open_to_all = insecure_tcp and is_tcp(endpoint)
        self._doorman = Doorman(self._context, keys, anyone=open_to_all)
        self._doorman.guard(self._socket)
        self._listen(endpoint)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._presence = Presence(self._doorman, clock)
        self._callers = Callers(clock)
        self._peers: dict[int, _Peer] = {}
        self._session: Session | None = None
        self._offered = False
        self._failure: FrameError | None = None
        self._durable_step = -1
        self._gone: set[int] = set()
        self._reason = self._note = ""
        self._early: dict[tuple[int, int], Message] = {}
        self._sent_again: set[bytes] = set()
        self._owes_word = False  # an ACK found no room in a queue
        self._look_at = clock()

    def _listen(self, endpoint: str) -> None:
        self._socket.linger = 0
        self._socket.router_mandatory = True
        self._socket.sndhwm = self._socket.rcvhwm = 8 * CREDIT
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

    @property
    def pollable(self) -> object | None:
        """The socket."""
        return self._socket

    @property
    def alive(self) -> bool | None:
        """Whether the engine has its connections; None: there is none yet."""
        return self._presence.alive

    # -- Source -----------------------------------------------------------------------

    def receive(self) -> list[Event]:
        """All events that are there now, without waiting.

        Raises:
            FrameError: a frame does not belong to the run; the engine is told.
        """
        if self._failure is not None:
            raise self._failure
        self._presence.look()
        if self._owes_word:
            self._owes_word = False
            self._say(Kind.ACK, step=self._durable_step)
        events: list[Event] = []
        try:
            events += self._take_early()
        except FrameError as error:
            self._fail(error)
        for _ in range(_BATCH):
            if self._offered or self._failure is not None:
                break
            try:
                letter = receive_letter(self._socket)
            except zmq.Again:
                break
            try:
                message = decode(letter.parts)
            except WireError as error:
                _log.warning("ignored a message: %s", error)
                self._mend(letter.identity)
                continue
            try:
                events += self._take(letter, message)
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
        for letter, hello in self._peers.values():
            self._send(letter.identity, welcome(hello, self._durable_step))
        stride = session.description.stride
        self._note = ""
        if 0 <= durable_step < self._durable_step - stride:
            self._note = gap(durable_step, begin, stride)
            self._say(Kind.NOTE, text=self._note)

    def refuse(self, reason: str) -> None:
        """Tell the engine that this run cannot be served; it ends with this text."""
        self._require_offer()
        for letter, hello in waiting_hellos(self._socket):
            if self._is_ours(hello):  # the connection of its first call may be gone
                self._peers[hello.rank] = (letter, hello)
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
        if not coming_back:
            if getattr(self, "_session", None) is not None:
                self._say(Kind.BYE, text="the driver has ended")
            self._socket.linger = 200  # enough for a last word, or a refusal, to leave
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

    def _take(self, letter: Letter, message: Message) -> list[Event]:
        identity = letter.identity
        if message.kind is Kind.HELLO:
            return self._greet(letter, message)
        if message.kind is Kind.BYE:
            return self._part(identity, message)
        if not message.kind.is_frame:
            _log.warning("ignored a %s from an engine", message.kind.name)
            return []
        if not self._is_ours(message):
            self._ask_again(identity, reply(message, Kind.AGAIN))
            return []
        if self._session is None:
            self._keep_early(message)
            return []
        self._presence.met(message.rank, letter)
        if message.step <= self._durable_step:
            # A frame sent again: its sender has missed the last word.
            self._send(identity, reply(message, Kind.ACK, step=self._durable_step))
        events: list[Event] = list(self._session.add(message))
        if self._gone and message.step > self._session.last_step:
            events += self._break_off()
        return events

    def _keep_early(self, message: Message) -> None:
        """Hold a frame that came before the HELLO of another rank."""
        if len(self._early) >= most_early(message):
            raise FrameError(
                f"Rank {message.rank} of {message.n_ranks} sends frames, but other "
                "ranks have not said HELLO. Look at the engine's log."
            )
        self._early[message.rank, message.step] = message

    def _greet(self, letter: Letter, hello: Message) -> list[Event]:
        if self._session is not None and self._is_ours(hello):
            # The same engine over a new connection; the service need not know.
            self._peers[hello.rank] = (letter, hello)
            self._presence.met(hello.rank, letter)
            self._send(letter.identity, welcome(hello, self._durable_step))
            if self._note:
                self._say(Kind.NOTE, text=self._note)
            return []
        if self._session is not None:
            if self._is_there():
                self._turn_away(letter.identity, hello)
                return []
            self._presence.say_replaced()
            self._forget_session()
        if any(peer.n_ranks != hello.n_ranks for _, peer in self._peers.values()):
            self._peers.clear()
            self._early.clear()
            self._gone.clear()
        self._gone.discard(hello.rank)
        self._peers[hello.rank] = (letter, hello)
        if len(self._peers) == hello.n_ranks:
            return self._open_session()
        if hello.credit:
            self._send(letter.identity, early_welcome(hello))
        return []

    def _is_there(self) -> bool:
        """Whether the engine still has a connection, as far as one can see."""
        if self._clock() < self._look_at:
            return True  # many calls are no reason to disturb it
        self._look_at = self._clock() + _LOOK_INTERVAL
        return any(
            self._send(known.identity, reply(hello, Kind.ACK, step=self._durable_step))
            for known, hello in self._peers.values()
        )

    def _turn_away(self, identity: bytes, hello: Message) -> None:
        """Another engine has to wait, and is told so, as is the user, now and then."""
        if not self._callers.heard(identity):
            return
        text = "the driver serves another engine; this one waits for its end"
        self._send(identity, reply(hello, Kind.NOTE, text=text))

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
        for rank, (letter, _) in self._peers.items():
            self._presence.met(rank, letter)
        for rank in self._gone:
            self._presence.left(rank)
        return [Started(session.description)]

    def _break_off(self) -> list[Event]:
        """A rank sends frames after another has left: there will be no whole ones."""
        reason = f"a part of the engine has left: {self._reason}"
        self._say(Kind.BYE, text=reason)
        self._forget_session()
        return [Ended(reason)]

    def _part(self, identity: bytes, goodbye: Message) -> list[Event]:
        ours = self._is_ours(goodbye)
        if not ours and goodbye.n_ranks > 1:
            # Meant for the driver before this one. Other ranks may call, and would
            # wait for frames that are never whole.
            self._ask_again(identity, reply(goodbye, Kind.AGAIN))
            return []
        self._send(identity, reply(goodbye, Kind.BYE_OK))
        if not ours:
            return []
        self._gone.add(goodbye.rank)
        self._reason = goodbye.text
        if self._session is None:
            return []  # the other ranks have still to hear of it, when they call
        self._presence.left(goodbye.rank)
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
        self._presence.forget()
        self._peers.clear()
        self._early.clear()
        self._gone.clear()
        self._sent_again.clear()

    # -- sending ----------------------------------------------------------------------

    def _say(self, kind: Kind, *, step: int = -1, text: str = "") -> None:
        """One message to every rank."""
        for letter, hello in self._peers.values():
            self._send(letter.identity, reply(hello, kind, step=step, text=text))

    def _mend(self, identity: bytes) -> None:
        """After a damaged message: have its sender, where known, send it again."""
        for letter, hello in self._peers.values():
            if letter.identity == identity:
                self._ask_again(identity, reply(hello, Kind.AGAIN))

    def _ask_again(self, identity: bytes, message: Message) -> None:
        """AGAIN, once for each connection: the answer comes over a new one."""
        if identity not in self._sent_again and len(self._sent_again) < 10_000:
            self._sent_again.add(identity)
            self._send(identity, message)

    def _send(self, identity: bytes, message: Message) -> bool:
        """Send; False where the peer has no connection."""
        try:
            self._socket.send_multipart([identity, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # The peer is gone or does not read; it will say HELLO when it is back.
            _log.debug("could not answer an engine: %s", error)
            if error.errno == errno.EHOSTUNREACH:
                return False
            self._owes_word = self._owes_word or message.kind is Kind.ACK
        return True
