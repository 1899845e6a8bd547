"""i-PI's protocol without a socket: framings, chunks, hostile servers."""

from __future__ import annotations

import contextlib
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria.errors import SettingsError
from mimyria_driver.ipi.protocol import (
    Connection,
    Exit,
    Init,
    IpiProtocolError,
    Positions,
    State,
    parse_parameters,
)
from mimyria_driver.ipi.transport import Address, parse_address

CELL = np.array([[10.0, 1.0, 2.0], [0.0, 11.0, 3.0], [0.0, 0.0, 12.0]])
POSITIONS = np.arange(9.0).reshape(3, 3)


def header(text: str) -> bytes:
    return text.encode().ljust(12)


def init(rid: int = 5, text: str = " dt_fs : 0.5 , ") -> bytes:
    return header("INIT") + struct.pack("=ii", rid, len(text)) + text.encode()


def posdata() -> bytes:
    cells = CELL.tobytes() + np.linalg.inv(CELL).tobytes()
    return header("POSDATA") + cells + struct.pack("=i", 3) + POSITIONS.tobytes()


LEGACY = (
    header("STATUS")
    + init()
    + header("STATUS")
    + posdata()
    + header("STATUS")
    + header("GETFORCE")
)
CONSOLIDATED = (
    header("STATUS") + init() + header("STATUS") + posdata() + header("GETFORCE")
)
REPLY = (
    header("FORCEREADY")
    + bytes(8)
    + struct.pack("=i", 3)
    + bytes(72)
    + bytes(72)
    + struct.pack("=i", 2)
    + b"{}"
)
ANSWERS = {
    LEGACY: header("NEEDINIT") + header("READY") + header("HAVEDATA") + REPLY,
    CONSOLIDATED: header("NEEDINIT") + header("READY") + REPLY,
}


def feed(connection: Connection, pieces: list[bytes]) -> tuple[list[object], bytes]:
    events: list[object] = []
    answer = b""
    for piece in pieces:
        events += connection.receive(piece)
        answer += connection.take_outgoing()
    return events, answer


def check(events: list[object]) -> None:
    first, second = events
    assert first == Init(5, {"dt_fs": "0.5"})
    assert isinstance(second, Positions)
    assert (second.rid, second.n_atoms) == (5, 3)
    np.testing.assert_array_equal(np.frombuffer(second.cell).reshape(3, 3), CELL)
    np.testing.assert_array_equal(
        np.frombuffer(second.positions).reshape(3, 3), POSITIONS
    )


@pytest.mark.parametrize("script", [LEGACY, CONSOLIDATED])
def test_both_framings_give_the_frame_and_exact_zeros(script: bytes) -> None:
    connection = Connection(b"{}")
    events, answer = feed(connection, [script])
    check(events)
    assert answer == ANSWERS[script]
    assert connection.state is State.NEEDINIT  # so that the next request names its bead


@pytest.mark.parametrize("script", [LEGACY, CONSOLIDATED])
def test_single_bytes_give_the_same_as_the_whole(script: bytes) -> None:
    pieces = [script[at : at + 1] for at in range(len(script))]
    events, answer = feed(Connection(b"{}"), pieces)
    check(events)
    assert answer == ANSWERS[script]


@given(st.lists(st.integers(0, 2 * len(LEGACY)), max_size=12))
def test_any_chunks_give_the_same_as_the_whole(cuts: list[int]) -> None:
    script = LEGACY + CONSOLIDATED
    borders = sorted({0, len(script), *(min(cut, len(script)) for cut in cuts)})
    pieces = [script[begin:end] for begin, end in itertools.pairwise(borders)]
    events, answer = feed(Connection(b"{}"), pieces)
    assert len(events) == 4
    check(events[:2])
    check(events[2:])
    assert answer == ANSWERS[LEGACY] + ANSWERS[CONSOLIDATED]


@pytest.mark.parametrize("script", [LEGACY, CONSOLIDATED])
@pytest.mark.parametrize("early", [True, False])
def test_a_reply_waits_for_its_own_extra_string(script: bytes, early: bool) -> None:
    connection = Connection(None)
    asked, getforce = script[:-12], script[-12:]
    for extras in (b"{}", b'{"BEC": [[1.0]]}'):
        events, answer = feed(connection, [asked])
        check(events)
        if early:
            connection.answer(extras)
        _, more = feed(connection, [getforce])
        if not early:
            assert more == b""
            connection.answer(extras)
            more = connection.take_outgoing()
        before = ANSWERS[script].removesuffix(REPLY)
        end = struct.pack("=i", len(extras)) + extras
        assert answer + more == before + REPLY[: -len(b"{}") - 4] + end


def test_the_extra_string_of_one_reply_is_never_sent_with_the_next() -> None:
    connection = Connection(None)
    feed(connection, [CONSOLIDATED])
    connection.answer(b"{}")
    connection.take_outgoing()
    _, answer = feed(connection, [CONSOLIDATED])
    assert answer == header("NEEDINIT") + header("READY")


@pytest.mark.parametrize("before", [b"", LEGACY, header("STATUS") + init()])
def test_exit_ends_the_conversation_in_every_state(before: bytes) -> None:
    connection = Connection()
    events, _ = feed(connection, [before + header("EXIT") + b"what comes after"])
    assert events[-1] == Exit()
    assert connection.state is State.CLOSED


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (header("GETFORCE"), "'GETFORCE' while the client is NEEDINIT"),
        (posdata(), "'POSDATA' while the client is NEEDINIT"),
        (init() + init(), "'INIT' while the client is READY"),
        (b"GET / HTTP/1.1\r\n", "'GET / HTTP/1' while"),
        (b"\xff" * 12, "while the client is NEEDINIT"),
        (header("INIT") + struct.pack("=ii", 0, -1), "INIT string of -1 bytes"),
        (header("INIT") + struct.pack("=ii", 0, 1 << 30), "INIT string of 1073741824"),
        (init() + posdata()[:156] + struct.pack("=i", -3), "announced -3 atoms"),
        (init() + posdata()[:156] + struct.pack("=i", 0), "announced 0 atoms"),
        (init() + posdata()[:156] + struct.pack("=i", 2**31 - 1), "2147483647 atoms"),
    ],
)
def test_a_server_that_breaks_the_protocol_is_an_error_before_memory_is_taken(
    sent: bytes, text: str
) -> None:
    with pytest.raises(IpiProtocolError, match=text):
        Connection().receive(sent)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_random_bytes_are_a_protocol_error_and_nothing_worse(
    pieces: list[bytes], begin_well: bool
) -> None:
    connection = Connection()
    beginning = [header("STATUS") + init()] if begin_well else []
    with contextlib.suppress(IpiProtocolError):
        feed(connection, beginning + pieces)


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        (" ", {}),
        (
            " dt_fs : 0.5 , role : property , ",
            {"dt_fs": "0.5", "role": "property"},
        ),
        (" dt_fs : 0.5 , , batch_size:2", {"dt_fs": "0.5", "batch_size": "2"}),
        ("a:b:c", {"a": "b:c"}),
        (",,:,x", {}),
    ],
)
def test_parameters_of_an_init_string(text: str, parameters: dict[str, str]) -> None:
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:driver", Address("/tmp/ipi_driver")),
        ("unix:/run/me/driver", Address("/run/me/driver")),
        ("unix:///run/me/driver", Address("/run/me/driver")),
        ("localhost:31415", Address(None, "localhost", 31415)),
        ("tcp:localhost:31415", Address(None, "localhost", 31415)),
        ("tcp://[::1]:31415", Address(None, "::1", 31415)),
    ],
)
def test_addresses_of_ipi(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "unix:", "driver", "host:", ":5", "host:0", "host:70000", "host:x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="must be unix:NAME"):
        parse_address(text)
