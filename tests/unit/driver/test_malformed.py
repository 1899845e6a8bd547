"""F1: messages that are wrong in every way we could think of.

Each is ignored with a reason in the log, or refused with a reason to the engine; the
state stays as it was, and what is ignored leaves the connection usable.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.errors import FrameError, SettingsError, ShapeError
from mimyria.frame import Frame
from mimyria_driver.checks import check_frame
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.protocol import Connection, IpiProtocolError, State
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.runcard import RunCard, pack_card, unpack_card
from mimyria_driver.sources import Arrived, Event, RunDescription, Started
from mimyria_driver.strictjson import unpack_json
from mimyria_driver.wire import (
    Kind,
    Message,
    WireError,
    decode,
    encode,
    pack_box,
)

CARD = RunCard("LAMMPS 1", "metal", ("O", "H"), 0.5, 4, 1.0, 1e-3, (1, 1, 1))
BOX = pack_box([9.0, 0, 0, 1.0, 8.0, 0, 0.5, 0.25, 7.0], [0.0, 0.0, 0.0])
HEADER = struct.Struct("<4sHHIIHHIqqdQII")
FIELDS = (
    *("magic", "version", "kind", "n_atoms", "n_local", "rank", "n_ranks", "credit"),
    *("step", "previous", "time", "incarnation", "reserved", "checksum"),
)
INCARNATION = 7
CONTEXT = zmq.Context()
PEERS: list[zmq.Socket[bytes]] = []
SECONDS = 5.0


def sealed(header: bytes, parts: list[bytes]) -> list[bytes]:
    """With the checksum that belongs to it: what lies may still be well-formed."""
    value = zlib.crc32(header[:60])
    for part in parts:
        value = zlib.crc32(part, zlib.crc32(struct.pack("<Q", len(part)), value))
    return [header[:60] + struct.pack("<I", value), *parts]


def lie(message: Message, **fields: object) -> list[bytes]:
    """A message whose header says something else, with a right checksum."""
    raw = encode(message)
    values = dict(zip(FIELDS, HEADER.unpack(raw[0]), strict=True)) | fields
    return sealed(HEADER.pack(*values.values()), raw[1:])


def with_parts(message: Message, **parts: bytes) -> list[bytes]:
    """A message with other parts, p1 to p4, and a right checksum."""
    raw = encode(message)
    kept = list(raw[1:])
    for name, part in parts.items():
        kept[int(name[1:]) - 1] = part
    return sealed(raw[0], kept)


def hello(**changes: object) -> Message:
    parts = (
        pack_card(CARD),
        np.array([30, 10, 20], "<i4").tobytes(),
        np.array([1, 2, 2], "<i4").tobytes(),
        np.array([15.9994, 1.008, 1.008]).tobytes(),
    )
    message = Message(
        Kind.HELLO, n_atoms=3, n_local=3, incarnation=INCARNATION, parts=parts
    )
    return replace(message, **changes)  # type: ignore[arg-type]


def frame(step: int = 8, previous: int = 4, **changes: object) -> Message:
    positions = np.arange(9.0).reshape(3, 3) + step
    parts = (
        BOX,
        np.array([30, 10, 20], "<i8").tobytes(),
        positions.tobytes(),
        (10 * positions).tobytes(),
    )
    message = Message(
        Kind.FRAME,
        step,
        previous,
        0.5 * step,
        3,
        3,
        incarnation=INCARNATION,
        parts=parts,
    )
    return replace(message, **changes)  # type: ignore[arg-type]


class Peer:
    """A connection that says anything."""

    def __init__(self, receiver: LammpsReceiver, identity: bytes = b"") -> None:
        self.receiver = receiver
        self.socket = CONTEXT.socket(zmq.DEALER)
        PEERS.append(self.socket)
        self.socket.linger = 0
        if identity:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        self.socket.connect(receiver.endpoint)

    def say(self, raw: list[bytes]) -> list[Event]:
        self.socket.send_multipart(raw)
        assert self.receiver._socket.poll(30_000)
        return self.receiver.receive()

    def hear(self) -> Message:
        assert self.socket.poll(30_000)
        return decode(self.socket.recv_multipart())


@pytest.fixture
def receiver() -> Iterator[LammpsReceiver]:
    made = LammpsReceiver()
    yield made
    while PEERS:
        PEERS.pop().close()
    made.close()


@pytest.fixture
def peer(receiver: LammpsReceiver) -> Peer:
    """A connection whose run goes on: step 4 has arrived."""
    made = Peer(receiver)
    opened(made)
    assert steps(made.say(encode(frame(4, -1)))) == [4]
    return made


def opened(peer: Peer) -> None:
    (event,) = peer.say(encode(hello()))
    assert isinstance(event, Started)
    peer.receiver.accept(-1)
    assert peer.hear().kind is Kind.WELCOME


def steps(events: list[Event]) -> list[int]:
    return [each.frame.step for each in events if isinstance(each, Arrived)]


def state(receiver: LammpsReceiver) -> tuple[object, ...]:
    session = receiver._session
    assert session is not None
    return (session.last_step, receiver._durable_step, dict(session._pending))


GOOD = frame()
TEXT = Message(Kind.REJECT, incarnation=INCARNATION, parts=(b"no",))
FLOAT32 = np.zeros(9, "<f4").tobytes()
IGNORED: dict[str, tuple[list[bytes], str]] = {
    "no part": ([], "must begin with a header"),
    "one empty part": ([b""], "must begin with a header"),
    "header alone": (encode(GOOD)[:1], "checksum of a FRAME"),
    "two parts": (encode(GOOD)[:2], "checksum of a FRAME"),
    "three parts": (encode(GOOD)[:3], "checksum of a FRAME"),
    "six parts": ([*encode(GOOD), b"x"], "checksum of a FRAME"),
    "six parts, sealed": (
        sealed(encode(GOOD)[0], [*encode(GOOD)[1:], b"x"]),
        "must have 4 parts, but has 5",
    ),
    "5000 parts": ([*encode(GOOD), *[b"x"] * 4995], "checksum of a FRAME"),
    "header of 63 bytes": ([bytes(63), *encode(GOOD)[1:]], "must begin with a header"),
    "header of 65 bytes": ([bytes(65), *encode(GOOD)[1:]], "must begin with a header"),
    "other mark": (lie(GOOD, magic=b"HTTP"), "does not begin with the mark"),
    **{
        f"version {version}": (lie(GOOD, version=version), f"version {version}")
        for version in (0, 2, 65535)
    },
    **{
        f"kind {kind}": (lie(GOOD, kind=kind), f"Unknown kind of message: {kind}")
        for kind in (0, 200, 65535)
    },
    "reserved bits": (lie(GOOD, reserved=1), "checksum of a FRAME"),
    "no atoms": (lie(GOOD, n_atoms=0), "local is 3 and all 0"),
    "one atom": (lie(GOOD, n_atoms=1, n_local=1), "'ids' must have 4 or 8"),
    **{
        f"{number} atoms": (lie(GOOD, n_atoms=number), f"all {number}")
        for number in (2**31, 2**32 - 1)
    },
    "more local than all": (lie(GOOD, n_local=4), "local is 4 and all 3"),
    "more local than sent": (
        lie(GOOD, n_atoms=10**8, n_local=10**8),
        "'ids' must have 400000000 or 800000000 bytes, but has 24",
    ),
    "one byte less": (
        with_parts(GOOD, p3=bytes(71)),
        "'positions' must have 72 bytes, but has 71",
    ),
    "one byte more": (
        with_parts(GOOD, p4=bytes(73)),
        "'velocities' must have 72 bytes, but has 73",
    ),
    "empty part": (with_parts(GOOD, p3=b""), "'positions' must have 72 bytes"),
    "single precision": (with_parts(GOOD, p3=FLOAT32), "'positions' must have 72"),
    "whole numbers": (with_parts(GOOD, p3=bytes(36)), "'positions' must have 72"),
    "a box of 8 numbers": (with_parts(GOOD, p1=bytes(64)), "'box' must have 96"),
    "100 MB": (with_parts(GOOD, p3=bytes(10**8)), "'positions' must have 72"),
    "step -1": (lie(GOOD, step=-1, previous=-1), "Steps must rise"),
    "step -2": (lie(GOOD, step=-2, previous=-3), "Steps must rise"),
    "equal steps": (lie(GOOD, previous=8), "Steps must rise, but 8 follows 8"),
    "falling steps": (lie(GOOD, previous=12), "Steps must rise, but 8 follows 12"),
    "previous step -2": (lie(GOOD, previous=-2), "Steps must rise"),
    "time NaN": (lie(GOOD, time=float("nan")), "time of a message must be finite"),
    "time infinite": (lie(GOOD, time=float("inf")), "time of a message must be"),
    "rank of nobody": (lie(GOOD, rank=1), "no rank 1 of 1"),
    "no ranks": (lie(GOOD, n_ranks=0), "no rank 0 of 0"),
    "payload of another frame": (
        [encode(GOOD)[0], *encode(frame(12, 8))[1:]],
        "checksum of a FRAME",
    ),
    "parts exchanged": (
        [*encode(GOOD)[:3], encode(GOOD)[4], encode(GOOD)[3]],
        "checksum of a FRAME",
    ),
    "a flipped bit": (
        [*encode(GOOD)[:4], b"\x01" + encode(GOOD)[4][1:]],
        "checksum of a FRAME",
    ),
    "a text of 10 MB": (with_parts(TEXT, p1=bytes(10**7)), "'text' must have at most"),
    "a word of the driver": (encode(TEXT), "ignored a REJECT"),
    "an answer to nobody": (
        encode(Message(Kind.ACK, 4, incarnation=INCARNATION)),
        "ignored a ACK",
    ),
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_message_that_is_none_is_ignored_with_a_reason(
    name: str, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    raw, reason = IGNORED[name]
    before = state(peer.receiver)
    # Without any part it is one empty part for ZeroMQ.
    assert peer.say(raw or [b""]) == []
    assert reason in caplog.text
    assert state(peer.receiver) == before
    assert steps(peer.say(encode(GOOD))) == [8]


REFUSED: dict[str, tuple[list[bytes], str]] = {
    "another atom": (lie(GOOD, n_atoms=4), "began with 3 atoms, but now has 4"),
    "an atom that is another": (
        with_parts(GOOD, p2=np.array([30, 10, 21], "<i8").tobytes()),
        "atom ids are not those",
    ),
    "an atom twice": (
        with_parts(GOOD, p2=np.array([30, 10, 10], "<i8").tobytes()),
        "atom ids are not those",
    ),
    "negative ids": (
        with_parts(GOOD, p2=np.array([-30, -10, -20], "<i8").tobytes()),
        "atom ids are not those",
    ),
    "big-endian ids": (
        with_parts(GOOD, p2=np.array([30, 10, 20], ">i8").tobytes()),
        "atom ids are not those",
    ),
    "a time that is not that of the step": (lie(GOOD, time=8.0), "time must be 4 fs"),
    "a time of before": (lie(GOOD, time=-4.0), "time must be 4 fs"),
    "the last step of all": (
        lie(GOOD, step=2**63 - 1, time=0.5 * (2**63 - 1)),
        "step 9223372036854775807: its time",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_frame_of_another_run_is_refused_with_a_reason(name: str, peer: Peer) -> None:
    raw, reason = REFUSED[name]
    before = state(peer.receiver)
    with pytest.raises(FrameError, match=reason):
        peer.say(raw)
    assert state(peer.receiver)[:2] == before[:2]
    told = peer.hear()
    assert told.kind is Kind.REJECT
    assert reason in told.text


def test_atoms_in_another_order_are_put_right(peer: Peer) -> None:
    parts = GOOD.parts
    order = [2, 0, 1]
    ids = np.frombuffer(parts[1], "<i8")[order].tobytes()
    positions, velocities = (
        np.frombuffer(part).reshape(3, 3)[order].tobytes() for part in parts[2:]
    )
    mixed = replace(GOOD, parts=(parts[0], ids, positions, velocities))
    (event,) = peer.say(encode(mixed))
    assert isinstance(event, Arrived)
    wanted = (np.arange(9.0).reshape(3, 3) + 8)[[1, 2, 0]]
    np.testing.assert_array_equal(event.frame.positions, wanted)


BAD_HELLOS: dict[str, tuple[list[bytes], str]] = {
    "no atoms": (
        encode(hello(n_atoms=0, n_local=0, parts=(pack_card(CARD), b"", b"", b""))),
        "has 0 atoms",
    ),
    "atoms that are not sent": (lie(hello(), n_atoms=10**8), "ranks sent 3"),
    "an atom twice": (
        with_parts(hello(), p2=np.array([30, 10, 10], "<i4").tobytes()),
        "ids must be unique",
    ),
    "a type that is none": (
        with_parts(hello(), p3=np.array([0, 1, 2], "<i4").tobytes()),
        "elements",
    ),
    "a type below zero": (
        with_parts(hello(), p3=np.array([-5, 1, 2], "<i4").tobytes()),
        "elements",
    ),
    "masses NaN": (
        with_parts(hello(), p4=np.full(3, np.nan).tobytes()),
        "have the mass nan",
    ),
    "masses negative": (
        with_parts(hello(), p4=np.full(3, -1.0).tobytes()),
        "have the mass -1",
    ),
    "a card that is none": (with_parts(hello(), p1=b"{}"), "must have exactly"),
    "a card too deep": (with_parts(hello(), p1=b"[" * 60_000), "too deep"),
    "no elements": (
        with_parts(hello(), p1=pack_card(replace(CARD, elements=()))),
        "was given 0 elements",
    ),
}


@pytest.mark.parametrize("name", BAD_HELLOS)
def test_a_greeting_that_makes_no_sense_is_rejected(
    name: str, receiver: LammpsReceiver
) -> None:
    raw, reason = BAD_HELLOS[name]
    peer = Peer(receiver)
    assert peer.say(raw) == []
    told = peer.hear()
    assert told.kind is Kind.REJECT
    assert reason in told.text
    opened(peer)  # the same connection, with a run that makes sense
    assert steps(peer.say(encode(frame(4, -1)))) == [4]


JSON = {
    "NaN": (b'{"a": NaN}', "not finite"),
    "minus infinity": (b'{"a": -Infinity}', "not finite"),
    "1e999": (b'{"a": 1e999}', "range|compliant"),
    "5000 digits": (b'{"a": ' + b"1" * 5000 + b"}", "too many digits"),
    "5000 digits behind the point": (b'{"a": 0.' + b"1" * 5000 + b"}", "too many"),
    "too deep": (b"[" * 60_000, "too deep"),
    "too deep in objects": (b'{"a":' * 10_000, "too deep"),
    "a key twice": (b'{"a": 1, "a": 2}', "twice"),
    "a key twice inside": (b'[{"b": {"a": 1, "a": 2}}]', "twice"),
    "no UTF-8": (b'{"a": "\xff\xfe"}', "utf-8"),
    "a lone surrogate": (b'{"a": "\\ud800"}', "surrogates"),
    "a lone surrogate as key": (b'{"\\udfff": 1}', "surrogates"),
    "10 MB": (b'{"a": "' + b"x" * 10**7 + b'"}', "more than 65536 bytes"),
    "cut": (b'{"a": 1', "Expecting"),
    "empty": (b"", "Expecting"),
    "two of them": (b"{} {}", "Extra data"),
    "a comment": (b"{} // x", "Extra data"),
}


@pytest.mark.parametrize("name", JSON)
def test_json_that_python_would_take_is_refused(name: str) -> None:
    raw, reason = JSON[name]
    with pytest.raises(WireError, match=reason):
        unpack_json(raw)
    with pytest.raises(WireError, match="run card"):
        unpack_card(raw)


@pytest.mark.parametrize("key", ["__proto__", "x_", "__class__", "", "engine "])
def test_keys_that_are_unknown_are_refused(key: str) -> None:
    document = pack_card(CARD)[:-1] + f', "{key}": 1}}'.encode()
    with pytest.raises(WireError, match="exactly the keys"):
        unpack_card(document)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x00", "", "x" * 300, "\u202e"])
def test_names_that_would_play_with_a_terminal_are_refused(text: str) -> None:
    for card in (
        replace(CARD, engine=text),
        replace(CARD, units=text),
        replace(CARD, elements=("O", text)),
    ):
        with pytest.raises(WireError, match="run card"):
            unpack_card(pack_card(card))


def test_texts_of_the_peer_are_fit_for_a_terminal() -> None:
    message = Message(Kind.BYE, parts=("the end\x1b]0;x\x07\n\xff".encode("latin-1"),))
    assert decode(encode(message)).text == "the end ]0;x  \ufffd"


# -- connections -----------------------------------------------------------------------


def test_frames_of_another_incarnation_change_nothing(peer: Peer) -> None:
    before = state(peer.receiver)
    assert peer.say(encode(frame(incarnation=6))) == []
    told = peer.hear()
    assert told.kind is Kind.AGAIN
    assert state(peer.receiver) == before
    assert steps(peer.say(encode(GOOD))) == [8]


@pytest.mark.parametrize("identity", [b"x", b"\xff" * 255])
def test_identities_are_only_addresses(identity: bytes, peer: Peer) -> None:
    first = Peer(peer.receiver, identity)
    assert first.say([b"hello"]) == []
    second = Peer(peer.receiver, identity)
    second.socket.send(b"hello", zmq.NOBLOCK)  # the name is taken: nobody hears it
    assert steps(peer.say(encode(GOOD))) == [8]


def test_a_flood_of_greetings_leaves_the_run_alone(peer: Peer) -> None:
    other = Peer(peer.receiver)
    for number in range(1000):
        other.socket.send_multipart(encode(hello(incarnation=100 + number)))
    deadline = time.monotonic() + SECONDS
    found: list[int] = []
    peer.socket.send_multipart(encode(GOOD))
    while not found and time.monotonic() < deadline:
        found += steps(peer.receiver.receive())
    assert found == [8]
    assert len(peer.receiver._peers) == 1


def test_half_handshakes_and_slow_ones_leave_the_run_alone(peer: Peer) -> None:
    """What is no ZeroMQ at all, and what stops in the middle of its greeting."""
    path = peer.receiver.endpoint.removeprefix("ipc://")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48)
    kept = []
    for number in range(300):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(path)
        raw.sendall((b"GET / HTTP/1.1\r\n\r\n", greeting, greeting[:1])[number % 3])
        kept.append(raw)
    assert steps(peer.say(encode(GOOD))) == [8]
    for raw in kept:
        raw.close()
    assert steps(peer.say(encode(frame(12, 8)))) == [12]


# -- frames ----------------------------------------------------------------------------

NUMBERS = np.array([8, 1, 1])
DESCRIPTION = RunDescription("x", NUMBERS, np.array([16.0, 1.0, 1.0]), 0.5, 4)


def made(**changes: object) -> Frame:
    rng = np.random.default_rng(1)
    values: dict[str, object] = {
        "numbers": NUMBERS,
        "positions": rng.uniform(0, 8, (3, 3)),
        "cell": np.diag([8.0, 8.0, 8.0]),
        "velocities": rng.normal(0, 0.01, (3, 3)),
        "step": 4,
    }
    return Frame(**{**values, **changes})  # type: ignore[arg-type]


def one(value: float, where: tuple[int, int] = (1, 2)) -> np.ndarray:
    array = np.full((3, 3), 0.5)
    array[where] = value
    return array


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"positions": one(np.nan)}, "positions must be finite"),
        ({"positions": one(np.inf)}, "positions must be finite"),
        ({"positions": one(-np.inf)}, "positions must be finite"),
        ({"positions": one(1e308)}, "positions must be below 1e\\+07 Angstrom"),
        ({"velocities": one(np.nan)}, "velocities must be finite"),
        ({"velocities": one(1e308)}, "velocities must be below 3000"),
        ({"velocities": one(-3001.0)}, "velocities must be below 3000"),
        ({"velocities": None}, "has no velocities"),
        ({"cell": np.zeros((3, 3))}, "has no volume"),
        ({"cell": np.ones((3, 3))}, "has no volume"),
        ({"cell": one(np.nan)}, "cell must be finite"),
        ({"cell": np.diag([8.0, 8.0, 1e300])}, "cell must be below"),
        ({"numbers": np.array([8, 1, 2])}, "atom 2 must be element 1, but is 2"),
        ({"numbers": np.array([1, 8, 1])}, "atom 0 must be element 8, but is 1"),
    ],
)
def test_a_frame_that_cannot_be_is_refused(changes: dict, text: str) -> None:
    with pytest.raises(FrameError, match=text):
        check_frame(made(**changes), DESCRIPTION)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": np.zeros((3, 3))},
        {"positions": np.full((3, 3), -0.0)},
        {"positions": np.full((3, 3), 5e-324)},
        {"cell": np.diag([-8.0, 8.0, 8.0])},
        {"cell": np.array([[8.0, 0, 0], [4.1, 8.0, 0], [0, 0, 8.0]])},
    ],
)
def test_a_frame_that_is_only_odd_is_taken(changes: dict) -> None:
    check_frame(made(**changes), DESCRIPTION)


def test_another_number_of_atoms_is_refused() -> None:
    two = {"numbers": NUMBERS[:2], "positions": one(0)[:2], "velocities": one(0)[:2]}
    with pytest.raises(FrameError, match="began with 3 atoms, but this frame has 2"):
        check_frame(made(**two), DESCRIPTION)
    with pytest.raises(ShapeError):
        made(positions=one(0)[:2])


# -- i-PI ------------------------------------------------------------------------------


def pad(text: str) -> bytes:
    return text.encode().ljust(12)


def init(length: int, text: bytes = b"", rid: int = 0) -> bytes:
    return pad("INIT") + struct.pack("=ii", rid, length) + text


def posdata(n_atoms: int, n_sent: int | None = None) -> bytes:
    cell = np.diag([15.0, 16.0, 17.0]).tobytes()
    body = bytes(24 * (n_atoms if n_sent is None else n_sent))
    return pad("POSDATA") + cell + cell + struct.pack("=i", n_atoms) + body


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (pad("NONSENSE"), "sent 'NONSENSE' while the client is NEEDINIT"),
        (b"\xff" * 12, "while the client is NEEDINIT"),
        (b"GET / HTTP/1", "while the client is NEEDINIT"),
        (pad("POSDATA"), "sent 'POSDATA' while"),
        (pad("GETFORCE"), "sent 'GETFORCE' while"),
        (init(1 << 30), "an INIT string of 1073741824 bytes"),
        (init(-1), "an INIT string of -1 bytes"),
        (init(0) + init(0), "sent 'INIT' while the client is READY"),
        (init(0) + posdata(0), "announced 0 atoms"),
        (init(0) + posdata(-1, 0), "announced -1 atoms"),
        (init(0) + posdata(2**31 - 1, 0), "announced 2147483647 atoms"),
        (init(0) + posdata(100_001, 0), "announced 100001 atoms"),
        (init(0) + posdata(3) + pad("POSDATA"), "sent 'POSDATA' while"),
        (init(0) + posdata(3) + pad("GETFORCE") + pad("GETFORCE"), "'GETFORCE' while"),
    ],
)
@pytest.mark.parametrize("piece", [1, 10_000])
def test_what_ipi_never_says_ends_the_connection(
    said: bytes, text: str, piece: int
) -> None:
    connection = Connection(max_atoms=100_000)
    pieces = [said[begin : begin + piece] for begin in range(0, len(said), piece)]
    with pytest.raises(IpiProtocolError, match=text):
        [connection.receive(each) for each in pieces]


def test_exit_within_positions_is_positions() -> None:
    connection = Connection()
    connection.receive(init(0))
    whole = posdata(3)
    assert connection.receive(whole[:-20]) == []
    connection.receive(pad("EXIT") + bytes(8))
    assert connection.state is State.HAVEDATA


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield Path(name)


@pytest.fixture
def ipi(folder: Path) -> Iterator[tuple[socket.socket, IpiClient]]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/ipi")
    listener.listen()
    client = IpiClient(f"unix:{folder}/ipi", NUMBERS, np.ones(3), 0.5, 1)
    client.receive()
    yield listener, client
    client.close()
    listener.close()


def talk(
    listener: socket.socket, client: IpiClient, said: bytes, ending: Callable | None
) -> list[Event]:
    """What comes of bytes on a new connection, which then ends in some way."""
    deadline = time.monotonic() + SECONDS
    listener.settimeout(0.05)
    peer = None
    while peer is None and time.monotonic() < deadline:
        try:
            peer, _ = listener.accept()
        except TimeoutError:
            client.receive()
    assert peer is not None
    events: list[Event] = []
    with peer:
        peer.sendall(said)
        if ending is not None:
            ending(peer)
        for _ in range(20):
            events += client.receive()
            time.sleep(0.005)
    client.receive()
    return events


def reset(peer: socket.socket) -> None:
    """Gone in the middle of a payload; of TCP it would be an RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def halt(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def test_a_wrong_number_of_atoms_is_named(ipi) -> None:
    with pytest.raises(FrameError, match="i-PI sends 4 atoms, but the settings name 3"):
        talk(*ipi, init(0) + posdata(4) + pad("GETFORCE"), None)


def test_another_bead_is_answered_and_not_counted(ipi) -> None:
    request = posdata(3) + pad("GETFORCE")
    events = talk(*ipi, init(0, rid=2) + request, None)
    assert [type(each) for each in events] == [Started]
    ipi[1].accept(-1)
    # Another connection, on which i-PI speaks of another bead.
    assert talk(*ipi, init(0, rid=5) + request, halt) == []
    assert ipi[1].n_foreign == 1


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (pad("NONSENSE"), None),
        (b"", halt),
        (init(0) + posdata(3)[:100], reset),
        (init(0) + posdata(3)[:100], halt),
        (init(0) + posdata(50_000, 3), halt),
        (init(0) + posdata(10_000_000, 3), None),
        (init(1 << 30, b"x" * 1000), None),
    ],
)
def test_after_any_of_it_a_good_connection_is_served(
    said: bytes, ending: Callable | None, ipi, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert talk(*ipi, said, ending) == []
    assert caplog.text
    (event,) = talk(*ipi, init(0) + posdata(3) + pad("GETFORCE"), None)
    assert isinstance(event, Started)


def test_a_cell_of_ipi_without_volume_is_refused(ipi) -> None:
    listener, client = ipi
    zero = pad("POSDATA") + bytes(144) + struct.pack("=i", 3) + bytes(72)
    peer, _ = listener.accept()
    with peer:
        for _ in range(2):
            peer.sendall(init(0) + zero + pad("GETFORCE"))
            for event in client.receive():
                assert isinstance(event, Started)
                client.accept(-1)
            assert peer.recv(1000)
        peer.sendall(init(0) + zero + pad("GETFORCE"))
        with pytest.raises(FrameError, match="has no volume"):
            client.receive()


def test_a_time_step_that_is_no_number_is_refused(ipi) -> None:
    said = b"dt_fs : 1e999"
    with pytest.raises(SettingsError, match="1e999"):
        talk(*ipi, init(len(said), said), None)


def test_nothing_of_this_made_a_file() -> None:
    """Names never come from the wire: the folder of the tests stays as it was."""
    assert not [each for each in os.listdir(".") if "\x1b" in each or "\n" in each]
