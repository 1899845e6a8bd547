"""The wire protocol: round trips, mutations, and rules."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria_driver.runcard import RunCard, pack_card, unpack_card
from mimyria_driver.wire import (
    Kind,
    Message,
    WireError,
    decode,
    encode,
    pack_box,
    unpack_box,
)

CARD = RunCard("LAMMPS 1", "real", ("O", "H"), 0.5, 4, 1.0, 1.0, (1, 1, 0))
MODELS = {
    "apt": {"sha256": "a" * 64, "shares": None},
    "pgt": {"sha256": "b" * 64, "shares": [0.5, 1.25]},
}
TEXTS = st.text(max_size=40).map(lambda text: text.encode())


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(Kind))
    n_local = draw(st.integers(0, 5))
    n_ranks = draw(st.integers(1, 65535))
    step = draw(st.integers(-1, 2**63 - 1))
    previous = draw(st.integers(-1, max(step, -1)))
    if kind.is_frame:
        step = draw(st.integers(0, 2**63 - 1))
        previous = draw(st.integers(-1, step - 1))

    def block(size: int) -> bytes:
        return draw(st.binary(min_size=size, max_size=size))

    id_bytes = draw(st.sampled_from([4, 8])) * n_local
    parts: tuple[bytes, ...] = ()
    if kind is Kind.HELLO:
        parts = (draw(TEXTS), block(id_bytes), block(4 * n_local), block(8 * n_local))
    elif kind.is_frame:
        size = 24 * n_local
        if kind is Kind.BEADS:
            size *= draw(st.integers(1, 3))
        parts = (block(96), block(id_bytes), block(size), block(size))
        if kind is Kind.SUMS:
            parts += (draw(st.binary(max_size=40)),)
    elif kind in (Kind.REJECT, Kind.BYE, Kind.NOTE):
        parts = (draw(TEXTS),)
    return Message(
        kind,
        step,
        previous,
        0.0
        if kind is Kind.WELCOME
        else draw(st.floats(allow_nan=False, allow_infinity=False)),
        draw(st.integers(n_local, 100_000_000)),
        n_local,
        draw(st.integers(0, n_ranks - 1)),
        n_ranks,
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(0, 2**53)) if kind is Kind.WELCOME else 0,
        draw(st.integers(0, 2**64 - 1)),
        parts,
    )


@given(messages())
def test_decoding_gives_back_what_was_encoded(message: Message) -> None:
    raw = encode(message)
    assert len(raw[0]) == 64
    assert decode(raw) == message


@settings(max_examples=500)
@given(messages(), st.data())
def test_a_changed_byte_is_always_refused(
    message: Message, data: st.DataObject
) -> None:
    raw = [bytearray(part) for part in encode(message)]
    part = data.draw(st.sampled_from([each for each in raw if each]))
    at = data.draw(st.integers(0, len(part) - 1))
    part[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        decode([bytes(each) for each in raw])


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=100), max_size=6))
def test_random_bytes_are_refused_and_nothing_worse(raw: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode(raw)


@settings(max_examples=500)
@given(messages(), st.data())
def test_a_lie_with_a_right_checksum_is_refused_or_decoded(
    message: Message, data: st.DataObject
) -> None:
    """Every field may lie; nothing but WireError may come of it."""
    raw = encode(message)
    header = bytearray(raw[0])
    at = data.draw(st.integers(4, 59))
    header[at] = data.draw(st.integers(0, 255))
    value = zlib.crc32(bytes(header[:60]))
    for part in raw[1:]:
        value = zlib.crc32(part, zlib.crc32(struct.pack("<Q", len(part)), value))
    header[60:] = struct.pack("<I", value)
    try:
        decoded = decode([bytes(header), *raw[1:]])
    except WireError:
        return
    assert encode(decoded) == [bytes(header), *raw[1:]]


def test_an_older_hook_reads_the_welcome_and_a_newer_one_that_of_an_older_driver() -> (
    None
):
    """The bytes of credit stand where a WELCOME had a time of zero."""
    old = encode(Message(Kind.WELCOME, 8, credit=12))
    assert decode(old).credit_bytes == 0
    assert struct.unpack_from("<d", old[0], 40) == (0.0,)
    new = encode(Message(Kind.WELCOME, 8, credit=12, credit_bytes=64 << 20))
    assert struct.unpack_from("<d", new[0], 40) == (2.0**26,)
    assert new[0][:40] == old[0][:40]
    assert new[0][48:60] == old[0][48:60]


@pytest.mark.parametrize("number", [-1.0, -0.0, 0.5, 2.0**54, math.inf, math.nan])
def test_bytes_of_credit_must_be_a_whole_number(number: float) -> None:
    header = bytearray(encode(Message(Kind.WELCOME))[0])
    struct.pack_into("<d", header, 40, number)
    header[60:] = struct.pack("<I", zlib.crc32(bytes(header[:60])))
    with pytest.raises(WireError, match="Bytes of credit must be a whole number"):
        decode([bytes(header)])


def test_only_a_welcome_grants_bytes() -> None:
    with pytest.raises(WireError, match="No ACK grants bytes"):
        encode(Message(Kind.ACK, credit_bytes=1))
    with pytest.raises(WireError, match="no credit of -1 bytes"):
        encode(Message(Kind.WELCOME, credit_bytes=-1))


def test_parts_that_moved_over_their_border_are_refused() -> None:
    message = Message(
        Kind.HELLO, n_atoms=1, n_local=1, parts=(b"ab", b"1234", b"1234", b"12345678")
    )
    raw = encode(message)
    raw[1], raw[2] = b"ab1234", b""
    with pytest.raises(WireError, match="checksum of a HELLO is wrong"):
        decode(raw)


def test_another_version_says_how_to_mend_it() -> None:
    raw = encode(Message(Kind.ACK))
    raw[0] = raw[0][:4] + struct.pack("<H", 9) + raw[0][6:]
    with pytest.raises(WireError, match=r"version 9 .* Write the hook anew"):
        decode(raw)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_local": 2}, "local is 2 and all 1"),
        ({"n_atoms": 2**31}, "0 <= local <= all"),
        ({"rank": 1}, "no rank 1 of 1"),
        ({"step": 4, "previous_step": 4}, "Steps must rise, but 4 follows 4"),
        ({"step": -2}, "Steps must rise"),
        ({"time": float("nan")}, "time of a message must be finite"),
        ({"parts": (bytes(96), bytes(4))}, "must have 4 parts, but has 2"),
        (
            {"parts": (bytes(96), bytes(5), bytes(24), bytes(24))},
            "'ids' must have",
        ),
        ({"parts": (bytes(96), bytes(4), bytes(24), bytes(23))}, "'velocities' must"),
        ({"n_ranks": 70000, "rank": 0}, "does not fit the header"),
    ],
)
def test_a_message_that_breaks_a_rule_is_not_encoded(
    change: dict[str, object], text: str
) -> None:
    parts = (bytes(96), bytes(4), bytes(24), bytes(24))
    good = Message(Kind.FRAME, 4, 0, 2.0, 1, 1, parts=parts)
    encode(good)
    with pytest.raises(WireError, match=text):
        encode(dataclasses.replace(good, **change))  # type: ignore[arg-type]


def test_a_run_card_survives_the_way() -> None:
    assert unpack_card(pack_card(CARD)) == CARD
    with_models = dataclasses.replace(CARD, models=MODELS)
    assert unpack_card(pack_card(with_models)) == with_models


def test_a_run_card_without_networks_is_that_of_before_there_were_any() -> None:
    assert b"models" not in pack_card(CARD)
    assert b"models" in pack_card(dataclasses.replace(CARD, models=MODELS))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b"{}",
        b'{"engine": NaN}',
        b"1" * 6000,
    ],
)
def test_what_is_no_run_card_is_refused(raw: bytes) -> None:
    with pytest.raises(WireError, match="run card"):
        unpack_card(raw)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("time_step", 0),
        ("time_step", -1.0),
        ("time_step", True),
        ("time_step", "0.5"),
        ("time_step", None),
        ("time_step", 10**400),
        ("time_step", float("inf")),
        ("angstrom", 0.0),
        ("femtosecond", float("nan")),
        ("stride", 0),
        ("stride", 4.0),
        ("stride", 2**40),
        ("engine", 5),
        ("units", ["real"]),
        ("elements", "OH"),
        ("elements", [8, 1]),
        ("periodic", [1, 1]),
        ("periodic", [1, 1, 2]),
        ("periodic", [True, 1, 1]),
        ("models", None),
        ("models", {}),
        ("models", {"dipole": MODELS["apt"]}),
        ("models", {"apt": {"sha256": "a"}}),
        ("models", {"apt": {"sha256": 5, "shares": None}}),
        ("models", {"apt": {"sha256": "a", "shares": [1.0]}}),
        ("models", {"apt": {"sha256": "a", "shares": [1.0, -1.0]}}),
        ("models", {"apt": {"sha256": "a", "shares": [1.0, True]}}),
        ("more", 1),
    ],
)
def test_a_run_card_with_a_senseless_value_is_refused(key: str, value: object) -> None:
    document = {**json.loads(pack_card(CARD)), key: value}
    with pytest.raises(WireError, match="run card"):
        unpack_card(json.dumps(document).encode())


def test_a_box_survives_the_way_and_must_have_its_size() -> None:
    rows, origin = tuple(float(each) for each in range(9)), (9.5, 10.5, 11.5)
    assert unpack_box(pack_box(rows, origin)) == (rows, origin)
    with pytest.raises(WireError, match="96 bytes, but has 95"):
        unpack_box(bytes(95))
