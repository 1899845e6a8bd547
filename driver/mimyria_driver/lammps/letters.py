"""Letters: one message from a ROUTER socket, and what libzmq knows of its sender."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import zmq

from mimyria_driver.wire import Kind, Message, WireError, decode

__all__ = ["Letter", "receive_letter", "waiting_hellos"]

_MAX_PARTS: Final = 8  # of a message, far above any of the protocol
_MOST_WAITING: Final = 1000


@dataclass(frozen=True, slots=True)
class Letter:
    """One message.

    Attributes:
        identity: the ROUTER's name of the connection.
        parts: the message, header first; parts beyond any of ours are not kept.
        descriptor: of the connection, −1: not known. Later ones may have it again.
        address: of the peer; for a unix socket with user and process.
    """

    identity: bytes
    parts: list[bytes]
    descriptor: int = -1
    address: str = ""


def receive_letter(socket: zmq.Socket[bytes]) -> Letter:
    """One message that is there.

    Raises:
        zmq.Again: there is none.
    """
    first = socket.recv(zmq.NOBLOCK, copy=False)
    parts: list[bytes] = []
    while socket.rcvmore:
        part = socket.recv(zmq.NOBLOCK)
        if len(parts) < _MAX_PARTS:
            parts.append(part)
    descriptor, address = -1, ""
    with contextlib.suppress(zmq.ZMQError):  # a transport without one
        descriptor, address = int(first.get(zmq.SRCFD)), str(first.get("Peer-Address"))
    return Letter(first.bytes, parts, descriptor, address)


def waiting_hellos(socket: zmq.Socket[bytes]) -> Iterator[tuple[Letter, Message]]:
    """Every HELLO that is there; all else is passed over."""
    with contextlib.suppress(zmq.Again):
        for _ in range(_MOST_WAITING):
            letter = receive_letter(socket)
            with contextlib.suppress(WireError):
                message = decode(letter.parts)
                if message.kind is Kind.HELLO:
                    yield letter, message
