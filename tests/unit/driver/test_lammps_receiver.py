"""The receiver against peers that are slow, damaged, many, or hostile."""

from __future__ import annotations

import os
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.errors import EngineError, FrameError, SettingsError
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.runcard import RunCard, pack_card
from mimyria_driver.sources import Arrived, Ended, Event, Started
from mimyria_driver.wire import Kind, Message, decode, encode, pack_box

CARD = RunCard("LAMMPS 1", "metal", ("O", "H"), 0.5, 4, 1.0, 1e-3, (1, 1, 1))
BOX = pack_box([9.0, 0, 0, 1.0, 8.0, 0, 0.5, 0.25, 7.0], [0.0, 0.0, 0.0])
PATIENCE = 30_000  # ms for a message that must come
IDS = np.array([30, 10, 20])
MASSES = {1: 15.9994, 2: 1.008}
TYPES = np.array([1, 2, 2])


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver(clock: Clock) -> Iterator[LammpsReceiver]:
    made = LammpsReceiver(clock=clock)
    yield made
    made.close()


class Peer:
    """One rank of an engine, as bare messages."""

    def __init__(
        self,
        receiver: LammpsReceiver,
        rows: list[int] | None = None,
        rank: int = 0,
        n_ranks: int = 1,
        incarnation: int = 7,
        card: RunCard = CARD,
    ) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.connect(receiver.endpoint)
        self.receiver = receiver
        self.rows = [0, 1, 2] if rows is None else rows
        self.stamp = {"rank": rank, "n_ranks": n_ranks, "incarnation": incarnation}
        self.card = card

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.context.term()

    def send(self, message: Message) -> list[Event]:
        """Send, and let the receiver take it."""
        self.socket.send_multipart(encode(replace(message, **self.stamp)))
        return take(self.receiver)

    def hello(self, step: int = -1) -> list[Event]:
        types = TYPES[self.rows]
        masses = np.array([MASSES[each] for each in types])
        parts = (
            pack_card(self.card),
            IDS[self.rows].astype("<i4").tobytes(),
            types.astype("<i4").tobytes(),
            masses.astype("<f8").tobytes(),
        )
        return self.send(
            Message(Kind.HELLO, step, n_atoms=3, n_local=len(self.rows), parts=parts)
        )

    def frame(self, step: int, previous: int, **change: object) -> list[Event]:
        return self.send(self.frame_message(step, previous, **change))

    def frame_message(self, step: int, previous: int, **change: object) -> Message:
        positions = (np.arange(9.0).reshape(3, 3) + step)[self.rows]
        parts = (
            BOX,
            IDS[self.rows].astype("<i8").tobytes(),
            positions.tobytes(),
            (positions * 10).tobytes(),
        )
        message = Message(
            Kind.FRAME,
            step,
            previous,
            time=step * 0.5,
            n_atoms=3,
            n_local=len(self.rows),
            parts=parts,
        )
        return replace(message, **change)  # type: ignore[arg-type]

    def answer(self) -> Message:
        assert self.socket.poll(PATIENCE)
        return decode(self.socket.recv_multipart())

    def hears_nothing(self) -> bool:
        return not self.socket.poll(300)


def take(receiver: LammpsReceiver) -> list[Event]:
    """What becomes of the next message, which must come."""
    assert isinstance(receiver.pollable, zmq.Socket)
    assert receiver.pollable.poll(PATIENCE)
    return receiver.receive()


def take_all(receiver: LammpsReceiver, text: str) -> list[int]:
    """Steps of the frames that come before the error, which must come."""
    assert isinstance(receiver.pollable, zmq.Socket)
    seen: list[Event] = []
    failure = ""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        receiver.pollable.poll(20)  # the error may come without another message
        try:
            seen += receiver.receive()
        except FrameError as error:
            failure = str(error)
            break
    assert text in failure
    return frames(seen)


def frames(events: list[Event]) -> list[int]:
    return [each.frame.step for each in events if isinstance(each, Arrived)]


def opened(peer: Peer, durable_step: int = -1) -> None:
    events = peer.hello(durable_step + 1)
    assert len(events) == 1
    assert isinstance(events[0], Started)
    peer.receiver.accept(durable_step)
    welcome = peer.answer()
    assert (welcome.kind, welcome.step) == (Kind.WELCOME, durable_step)
    assert 8 <= welcome.credit <= 16


def test_a_frame_is_sorted_by_id_and_in_internal_units(
    receiver: LammpsReceiver,
) -> None:
    with Peer(receiver) as peer:
        started = peer.hello()[0]
        assert isinstance(started, Started)
        np.testing.assert_array_equal(started.description.numbers, [1, 1, 8])
        np.testing.assert_allclose(started.description.masses, [1.008, 1.008, 15.9994])
        assert started.description.interval == 2.0
        receiver.accept(-1)
        (arrived,) = peer.frame(4, -1)
    assert isinstance(arrived, Arrived)
    order = [1, 2, 0]
    wanted = (np.arange(9.0).reshape(3, 3) + 4)[order]
    np.testing.assert_array_equal(arrived.frame.positions, wanted)
    np.testing.assert_array_equal(arrived.frame.velocities, wanted * 10 * 1e-3)
    np.testing.assert_array_equal(
        arrived.frame.cell, [[9.0, 0, 0], [1.0, 8.0, 0], [0.5, 0.25, 7.0]]
    )


def test_ranks_are_joined_by_step_in_any_order_of_arrival(
    receiver: LammpsReceiver,
) -> None:
    with (
        Peer(receiver, [2], 0, 2, 11) as first,
        Peer(receiver, [0, 1], 1, 2, 12) as second,
    ):
        assert second.hello() == []
        assert len(first.hello()) == 1
        receiver.accept(-1)
        assert frames(first.frame(4, -1)) == []
        assert frames(first.frame(8, 4)) == []
        assert frames(second.frame(8, 4)) == []  # 4 comes before 8
        assert frames(second.frame(4, -1)) == [4, 8]
        receiver.acknowledge(8)
        for peer in (first, second):
            assert peer.answer().kind is Kind.WELCOME
            ack = peer.answer()
            assert (ack.kind, ack.step) == (Kind.ACK, 8)


def test_a_frame_that_comes_twice_is_given_once(receiver: LammpsReceiver) -> None:
    with Peer(receiver) as peer:
        opened(peer)
        assert frames(peer.frame(4, -1)) == [4]
        assert frames(peer.frame(4, -1)) == []
        assert frames(peer.frame(8, 4)) == [8]


def test_frames_up_to_the_durable_step_are_not_given_again(
    receiver: LammpsReceiver,
) -> None:
    with Peer(receiver) as peer:
        opened(peer, durable_step=8)
        assert frames(peer.frame(8, 4)) == []
        ack = peer.answer()
        assert (ack.kind, ack.step) == (Kind.ACK, 8)
        assert frames(peer.frame(12, 8)) == [12]


def test_the_same_engine_over_a_new_connection_goes_on_without_a_new_start(
    receiver: LammpsReceiver,
) -> None:
    with Peer(receiver) as peer:
        opened(peer)
        peer.frame(4, -1)
        receiver.acknowledge(4)
    with Peer(receiver) as again:
        assert again.hello() == []
        welcome = again.answer()
        assert (welcome.kind, welcome.step) == (Kind.WELCOME, 4)
        assert frames(again.frame(8, 4)) == [8]


def test_frames_of_an_unknown_engine_are_answered_by_again(
    receiver: LammpsReceiver,
) -> None:
    with Peer(receiver) as peer:
        assert peer.frame(4, -1) == []
        again = peer.answer()
        assert again.kind is Kind.AGAIN
        assert peer.frame(8, 4) == []
        assert peer.hears_nothing()  # once for each connection


def test_a_damaged_frame_is_asked_for_again(
    receiver: LammpsReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    with Peer(receiver) as peer:
        opened(peer)
        raw = encode(replace(peer.frame_message(4, -1), **peer.stamp))
        raw[3] = raw[3][:-1] + bytes([raw[3][-1] ^ 1])
        peer.socket.send_multipart(raw)
        assert take(receiver) == []
        assert "ignored a message: The checksum of a FRAME is wrong" in caplog.text
        again = peer.answer()
        assert again.kind is Kind.AGAIN


def test_garbage_from_strangers_disturbs_nothing(receiver: LammpsReceiver) -> None:
    with Peer(receiver) as peer, Peer(receiver) as stranger:
        opened(peer)
        rng = np.random.default_rng(0)
        for n_parts in (1, 2, 5, 40):
            stranger.socket.send_multipart([rng.bytes(64) for _ in range(n_parts)])
            assert take(receiver) == []
        stranger.socket.send(b"")
        assert take(receiver) == []
        assert frames(peer.frame(4, -1)) == [4]


def test_another_engine_must_wait_while_one_is_running(
    receiver: LammpsReceiver, clock: Clock
) -> None:
    with Peer(receiver) as peer, Peer(receiver, incarnation=8) as other:
        opened(peer)
        assert other.hello() == []
        note = other.answer()
        assert note.kind is Kind.NOTE
        assert "serves another engine" in note.text
        assert frames(peer.frame(4, -1)) == [4]
        clock.now += 3600.0  # it calculates
        assert other.hello() == []
        assert frames(peer.frame(8, 4)) == [8]
        peer.socket.close()
        deadline = time.monotonic() + PATIENCE / 1000
        events: list[Event] = []
        while not events and time.monotonic() < deadline:
            time.sleep(0.05)  # its end is noticed
            clock.now += 1.0
            events = other.hello()
        assert isinstance(events[0], Started)
        receiver.accept(8)
        assert frames(other.frame(12, -1)) == [12]


def test_the_end_comes_when_the_last_rank_has_said_goodbye(
    receiver: LammpsReceiver,
) -> None:
    with (
        Peer(receiver, [2], 0, 2, 11) as first,
        Peer(receiver, [0, 1], 1, 2, 12) as second,
    ):
        first.hello()
        second.hello()
        receiver.accept(-1)
        assert first.send(Message(Kind.BYE, parts=(b"done",))) == []
        assert second.send(Message(Kind.BYE, parts=(b"done",))) == [Ended("done")]
        assert [first.answer().kind for _ in range(2)] == [Kind.WELCOME, Kind.BYE_OK]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"n_atoms": 4}, "began with 3 atoms, but now has 4"),
        (
            {
                "parts": (
                    BOX,
                    np.array([30, 10, 21], "<i8").tobytes(),
                    bytes(72),
                    bytes(72),
                )
            },
            "the 3 atom ids are not those the run began with",
        ),
    ],
)
def test_a_frame_of_other_atoms_is_refused_after_the_good_ones(
    receiver: LammpsReceiver, change: dict[str, object], text: str
) -> None:
    with Peer(receiver) as peer:
        opened(peer)
        good = encode(replace(peer.frame_message(4, -1), **peer.stamp))
        bad = encode(replace(peer.frame_message(8, 4, **change), **peer.stamp))
        peer.socket.send_multipart(good)
        peer.socket.send_multipart(bad)
        assert take_all(receiver, text) == [4]
        answer = peer.answer()
        assert answer.kind is Kind.REJECT
        assert text in answer.text


@pytest.mark.parametrize(
    ("card", "text"),
    [
        (replace(CARD, elements=("O",)), "type 2, but the hook was given 1 elements"),
        (replace(CARD, elements=("O", "Q")), "'Q' is no chemical element"),
        (replace(CARD, elements=("H", "O")), "type 1 have the mass 15.9994, but H has"),
        (replace(CARD, elements=("O", "D")), "mass 1.008, but D has 2.014"),
        (replace(CARD, units="lj"), "needs physical units"),
    ],
)
def test_a_run_that_makes_no_sense_is_rejected_with_the_reason(
    receiver: LammpsReceiver, card: RunCard, text: str
) -> None:
    with Peer(receiver, card=card) as peer:
        assert peer.hello() == []
        answer = peer.answer()
        assert answer.kind is Kind.REJECT
        assert text in answer.text


def test_the_service_can_refuse_and_must_not_answer_twice(
    receiver: LammpsReceiver,
) -> None:
    with Peer(receiver) as peer:
        peer.hello()
        receiver.refuse("no model for water")
        answer = peer.answer()
        assert (answer.kind, answer.text) == (Kind.REJECT, "no model for water")
        with pytest.raises(EngineError, match="no engine that waits"):
            receiver.accept(-1)


def test_closing_tells_the_engine_to_go_on_alone(clock: Clock) -> None:
    receiver = LammpsReceiver(clock=clock)
    with Peer(receiver) as peer:
        opened(peer)
        receiver.close()
        receiver.close()
        answer = peer.answer()
        assert (answer.kind, answer.text) == (Kind.BYE, "the driver has ended")


def test_the_default_socket_is_private(receiver: LammpsReceiver) -> None:
    path = Path(receiver.endpoint.removeprefix("ipc://"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("tcp://*:5555", "this machine only"),
        ("tcp://0.0.0.0:5555", "this machine only"),
        ("tcp://192.168.1.2:5555", "this machine only"),
        ("tcp://example.org:5555", "this machine only"),
        ("pgm://x", "must be ipc://PATH"),
        ("/tmp/x", "must be ipc://PATH"),
        ("ipc:///tmp/" + 120 * "x", "107 bytes"),
    ],
)
def test_an_unsafe_endpoint_is_refused(endpoint: str, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        LammpsReceiver(endpoint)


def test_a_directory_that_others_may_write_in_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        with pytest.raises(SettingsError, match="Others may write"):
            LammpsReceiver(f"ipc://{name}/s")


def test_a_folder_without_room_for_a_socket_is_refused(tmp_path: Path) -> None:
    """A file stands there; in /proc not even root may make a folder or a socket."""
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/no")):
        with pytest.raises(SettingsError, match="where the socket should be: "):
            LammpsReceiver(f"ipc://{folder}/s")
    with pytest.raises(SettingsError, match="Cannot listen at ipc:///proc/s: "):
        LammpsReceiver("ipc:///proc/s")


def test_loopback_tcp_without_keys_must_be_asked_for() -> None:
    with pytest.raises(SettingsError, match="TCP needs keys"):
        LammpsReceiver("tcp://127.0.0.1:*")
    receiver = LammpsReceiver("tcp://127.0.0.1:*", insecure_tcp=True)
    with Peer(receiver) as peer:
        opened(peer)
        assert frames(peer.frame(4, -1)) == [4]
    receiver.close()
