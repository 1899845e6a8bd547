"""The doorman: who may come in at the sockets, and which connections are open.

A thread that answers libzmq's questions (ZAP, https://rfc.zeromq.org/spec/27) and hears
of every connection that comes and goes. It ends with the context of the socket. What it
shares with the service are plain values that are replaced as a whole.

While a run streams, a few connections beside those of its ranks are let in, no more.
"""

from __future__ import annotations

import hmac
import itertools
import logging
import os
import struct
import threading
from collections.abc import Iterable
from typing import Any, Final

import zmq
from zmq.utils import z85

from mimyria_driver.lammps.notices import Notices
from mimyria_driver.lammps.security import Keys

__all__ = ["MOST_STRANGERS", "Doorman"]

MOST_STRANGERS: Final = 8
"""Connections beside those of the run that streams."""

_ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
_HANDSHAKE_MS: Final = 5000
_EVENT: Final = struct.Struct("=HI")
_EVENTS: Final = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED

_log = logging.getLogger(__name__)


class Doorman:
    """Answers for a socket who may come in.

    Attributes:
        n_refused: connections that were refused because of who they are.
        n_too_many: connections that were refused because there were others.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        keys: Keys | None,
        *,
        anyone: bool = False,
    ) -> None:
        """Ready to answer, before any socket of the context is bound.

        Args:
            context: of the socket.
            keys: of TCP; None for a unix socket.
            anyone: let everybody in.
        """
        self.n_refused = self.n_too_many = 0
        self._keys = keys
        self._anyone = anyone
        self._user = str(os.geteuid())
        self._refusals = Notices()
        self._crowds = Notices()
        self._numbers = itertools.count(1)
        self._open: dict[int, int] = {}  # number of the connection by its descriptor
        self._run: tuple[frozenset[int], frozenset[str]] | None = None
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ZAP_ENDPOINT)

    def guard(self, socket: zmq.Socket[bytes]) -> None:
        """Put a socket that is not yet bound under this doorman, and begin."""
        socket.zap_domain = b"mimyria"
        socket.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
        if self._keys is not None:
            socket.curve_server = True
            socket.curve_secretkey = self._keys.server_secret.encode()
        monitor = socket.get_monitor_socket(_EVENTS)
        monitor.linger = 0
        threading.Thread(
            target=self._serve, args=(monitor,), name="doorman", daemon=True
        ).start()

    # -- for the service --------------------------------------------------------------

    def number(self, descriptor: int) -> int:
        """Of the connection that has this descriptor now; 0: there is none."""
        return self._open.get(descriptor, 0)

    @property
    def connections(self) -> frozenset[int]:
        """Numbers of those that are open."""
        return frozenset(self._open.values())

    def watch(self, numbers: Iterable[int], addresses: Iterable[str]) -> None:
        """A run streams: from now on there is little room for others.

        Args:
            numbers: connections of its ranks.
            addresses: where they come from, and may come from anew.
        """
        self._run = frozenset(numbers), frozenset(addresses)

    def relax(self) -> None:
        """No run streams: the next one may have any number of ranks."""
        self._run = None

    # -- the thread -------------------------------------------------------------------

    def _serve(self, monitor: Any) -> None:  # noqa: ANN401 - a socket, or a stand-in
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(monitor, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                # First those that left: their places are free.
                while monitor.poll(0):
                    self._note(monitor.recv_multipart())
                if self._socket in ready:
                    request = self._socket.recv_multipart()
                    self._socket.send_multipart(self._answer(request))
        except zmq.ContextTerminated:
            monitor.close()
            self._socket.close()

    def _note(self, event: list[bytes]) -> None:
        """A connection came or went."""
        kind, descriptor = _EVENT.unpack(event[0])
        if kind == zmq.EVENT_ACCEPTED:
            self._open = {**self._open, descriptor: next(self._numbers)}
        elif kind == zmq.EVENT_DISCONNECTED:
            self._open = {k: v for k, v in self._open.items() if k != descriptor}

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """The reply to one question of libzmq."""
        version, number, _, raw, _, mechanism = request[:6]
        address = raw.decode(errors="replace")
        verdict = [b"400", b"not your driver", b""]
        if not self._admits(address, mechanism, request[6:]):
            self.n_refused += 1
            self._say_refused(address)
        elif not self._has_room(address):
            self.n_too_many += 1
            verdict[1] = b"too many"
            self._say_crowded()
        else:
            verdict = [b"200", b"OK", self._user.encode()]
        return [version, number, *verdict, b""]

    def _admits(self, address: str, mechanism: bytes, credentials: list[bytes]) -> bool:
        if self._anyone:
            return True
        if self._keys is not None:
            return mechanism == b"CURVE" and hmac.compare_digest(
                z85.encode(credentials[0]), self._keys.client.encode()
            )
        # localhost:UID:GID:PID, as the kernel tells libzmq
        fields = address.split(":")
        return mechanism == b"NULL" and len(fields) == 4 and fields[1] == self._user

    def _has_room(self, address: str) -> bool:
        """Whether this connection, which is counted already, is not one too many."""
        if self._run is None:
            return True
        ranks, addresses = self._run
        strangers = len(self.connections - ranks)
        return address in addresses or strangers <= MOST_STRANGERS

    def _say_refused(self, address: str) -> None:
        if self._refusals.due():
            _log.warning(
                "refused a connection from %s: another user, or a wrong key (%d so "
                "far)",
                "".join(each if each.isprintable() else "?" for each in address[:80]),
                self.n_refused,
            )

    def _say_crowded(self) -> None:
        if self._crowds.due():
            _log.warning(
                "refused a connection: a run streams, and %d others are connected (%d "
                "refused so far)",
                MOST_STRANGERS,
                self.n_too_many,
                extra={
                    "code": "peers_refused",
                    "fields": {"refused": self.n_too_many},
                },
            )
