"""i-PI's socket protocol as a table: bytes in, events and bytes out, no I/O.

The client's side of a conversation, in both framings that i-PI knows:

    legacy        STATUS [INIT STATUS] POSDATA STATUS GETFORCE
    consolidated  STATUS [INIT STATUS] POSDATA GETFORCE        (i-PI >= 3.2, default)

After each reply the client asks for INIT again, because only INIT names the bead. Every
force is an exact zero. What a client has to say stands in the extra string: the same in
all replies, or another one in each. Lengths and cells are those of the wire here: bohr,
lattice vectors as columns.

Source: i-PI 3.3, `ipi/interfaces/sockets.py`; driver protocol of Kapil et al., CPC 236,
214 (2019).
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

__all__ = [
    "Connection",
    "Event",
    "Exit",
    "Init",
    "IpiProtocolError",
    "Positions",
    "State",
    "parse_parameters",
]

MAX_ATOMS: Final = 10_000_000
MAX_INIT_BYTES: Final = 1 << 20

_HEADER_BYTES: Final = 12
_INTEGER: Final = struct.Struct("=i")
_TWO_INTEGERS: Final = struct.Struct("=ii")
_CELL_BYTES: Final = 72


class IpiProtocolError(RuntimeError):
    """The server sent what the protocol does not allow; the connection is useless."""


class State(enum.Enum):
    """What the client is able to do next."""

    NEEDINIT = "NEEDINIT"
    READY = "READY"
    HAVEDATA = "HAVEDATA"
    CLOSED = "CLOSED"


@dataclass(frozen=True, slots=True)
class Init:
    """The server named the bead of its next request.

    Attributes:
        rid: identity of the bead, a counter over all beads of the i-PI process.
        parameters: the `<parameters>` of the ffsocket.
    """

    rid: int
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Positions:
    """One configuration.

    Attributes:
        rid: identity of the bead.
        cell: 9 float64, row by row; lattice vectors are columns, bohr.
        positions: 3 n_atoms float64, bohr.
        n_atoms: number of atoms.
    """

    rid: int
    cell: bytes
    positions: bytes
    n_atoms: int


@dataclass(frozen=True, slots=True)
class Exit:
    """The server ends the simulation."""


Event = Init | Positions | Exit

# (state, header) -> what reads its body; a pair that is absent is an error.
_TABLE: Final = {
    **{(state, "STATUS"): "_status" for state in State if state is not State.CLOSED},
    **{(state, "EXIT"): "_exit" for state in State if state is not State.CLOSED},
    (State.NEEDINIT, "INIT"): "_init",
    (State.READY, "POSDATA"): "_posdata",
    (State.HAVEDATA, "GETFORCE"): "_getforce",
}


class Connection:
    """One conversation with an i-PI server."""

    def __init__(self, extras: bytes | None = b"", max_atoms: int = MAX_ATOMS) -> None:
        """Begin a conversation.

        Args:
            extras: what to send as extra string with every reply; a JSON object. None:
                each reply waits for `answer`.
            max_atoms: more are refused before their positions are taken in.
        """
        self._max_atoms = max_atoms
        self._extras = extras
        self._next = extras
        self._is_asked = False
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self._rid = -1
        self._n_atoms = 0
        self.state = State.NEEDINIT

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the server, in pieces of any size.

        Returns:
            The events that are now complete. The answers are in `take_outgoing`.

        Raises:
            IpiProtocolError: the server broke the protocol.
        """
        self._buffer += data
        events: list[Event] = []
        while self.state is not State.CLOSED and len(self._buffer) >= _HEADER_BYTES:
            header = self._header()
            method = _TABLE.get((self.state, header))
            if method is None:
                raise IpiProtocolError(
                    f"i-PI sent {header!r} while the client is {self.state.value}."
                )
            length = getattr(self, f"{method}_bytes")()
            if length is None or len(self._buffer) < _HEADER_BYTES + length:
                break
            body = bytes(self._buffer[_HEADER_BYTES : _HEADER_BYTES + length])
            del self._buffer[: _HEADER_BYTES + length]
            event = getattr(self, method)(body)
            if event is not None:
                events.append(event)
        return events

    def answer(self, extras: bytes) -> None:
        """Give the extra string of the reply to the latest `Positions`.

        Args:
            extras: a JSON object.
        """
        if self.state is State.CLOSED:
            return
        self._next = extras
        if self._is_asked:
            self._reply()

    def take_outgoing(self) -> bytes:
        """The bytes to send, given once."""
        outgoing = bytes(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def _header(self) -> str:
        raw = bytes(self._buffer[:_HEADER_BYTES])
        return raw.decode("ascii", "replace").strip()

    def _integer_at(self, offset: int) -> int | None:
        """A number inside the body, None while it has not arrived."""
        begin = _HEADER_BYTES + offset
        if len(self._buffer) < begin + _INTEGER.size:
            return None
        number: int = _INTEGER.unpack_from(self._buffer, begin)[0]
        return number

    # -- one pair of methods for each header: length of the body, what it means -------

    def _status_bytes(self) -> int:
        return 0

    def _status(self, body: bytes) -> None:
        self._outgoing += _pad(self.state.value)

    def _exit_bytes(self) -> int:
        return 0

    def _exit(self, body: bytes) -> Exit:
        self.state = State.CLOSED
        return Exit()

    def _init_bytes(self) -> int | None:
        length = self._integer_at(_INTEGER.size)
        if length is None:
            return None
        if not 0 <= length <= MAX_INIT_BYTES:
            raise IpiProtocolError(
                f"i-PI announced an INIT string of {length} bytes."
                + _about_order(length, MAX_INIT_BYTES)
            )
        return _TWO_INTEGERS.size + length

    def _init(self, body: bytes) -> Init:
        self._rid, _ = _TWO_INTEGERS.unpack_from(body)
        self.state = State.READY
        text = body[_TWO_INTEGERS.size :].decode("utf-8", "replace")
        return Init(self._rid, parse_parameters(text))

    def _posdata_bytes(self) -> int | None:
        n_atoms = self._integer_at(2 * _CELL_BYTES)
        if n_atoms is None:
            return None
        if not 0 < n_atoms <= self._max_atoms:
            raise IpiProtocolError(
                f"i-PI announced {n_atoms} atoms."
                + _about_order(n_atoms, self._max_atoms)
            )
        return 2 * _CELL_BYTES + _INTEGER.size + 24 * n_atoms

    def _posdata(self, body: bytes) -> Positions:
        begin = 2 * _CELL_BYTES + _INTEGER.size
        (self._n_atoms,) = _INTEGER.unpack_from(body, 2 * _CELL_BYTES)
        self.state = State.HAVEDATA
        return Positions(self._rid, body[:_CELL_BYTES], body[begin:], self._n_atoms)

    def _getforce_bytes(self) -> int:
        return 0

    def _getforce(self, body: bytes) -> None:
        self._is_asked = True
        self._reply()

    def _reply(self) -> None:
        extras = self._next
        if extras is None:
            return  # with `answer`
        self._outgoing += b"".join(
            (
                _pad("FORCEREADY"),
                bytes(8),  # potential
                _INTEGER.pack(self._n_atoms),
                bytes(24 * self._n_atoms),  # forces
                bytes(_CELL_BYTES),  # virial
                _INTEGER.pack(len(extras)),
                extras,
            )
        )
        self._next = self._extras
        self._is_asked = False
        # Not READY: only a new INIT tells which bead the next request is about.
        self.state = State.NEEDINIT


def _pad(text: str) -> bytes:
    return text.encode().ljust(_HEADER_BYTES)


def _about_order(number: int, largest: int) -> str:
    """A hint, where the bytes of a number make sense the other way round.

    i-PI sends numbers as its machine has them, and does not say how that is.
    """
    (turned,) = _INTEGER.unpack(_INTEGER.pack(number)[::-1])
    if not 0 < turned <= largest:
        return ""
    return (
        f" Read backwards that is {turned}: do both machines have the same byte order?"
    )


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters in an INIT string, `' dt_fs : 0.5 , role : property , '`."""
    parameters = {}
    for item in text.split(","):
        key, colon, value = item.partition(":")
        if colon and key.strip():
            parameters[key.strip()] = value.strip()
    return parameters
