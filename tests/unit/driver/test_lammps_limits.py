"""Limits of the hook's sockets: bytes under way, peers, greetings, and who is there."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from lammpsfakes import STRIDE
from test_lammps_faults import TIMEOUT, Engine, Play, expected, rss
from test_lammps_receiver import Clock, Peer, frames, opened, take

from mimyria_driver import credit
from mimyria_driver.lammps import callers, doorman, presence, replies, window
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.window import Window
from mimyria_driver.runcard import pack_card
from mimyria_driver.wire import Kind, Message, decode, encode

HERE = Path(__file__).parent


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wait_for(reached: Callable[[], object], seconds: float = TIMEOUT) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def codes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.code for each in caplog.records if hasattr(each, "code")]


# -- credit by bytes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_atoms", "n_frames"),
    [(1, 12), (99_864, 12), (99_865, 11), (10**6, 1), (10**8, 1)],
)
def test_large_systems_have_fewer_frames_under_way(n_atoms: int, n_frames: int) -> None:
    """12 · 56 B · N = 64 MB at N = 99 864.4; one frame always may be under way."""
    assert credit.bounded(12, n_atoms) == n_frames


def test_a_stalled_driver_keeps_fewer_frames_of_a_large_system(folder: Path) -> None:
    """N8: 200 000 atoms, 10.4 MB a frame with ids of 4 bytes: 5, not 12."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 16, n_atoms=200_000)
    play = Play(receiver)
    play.run(n_frames=1)
    before = rss()
    # It waits, with all that it may have under way.
    wait_for(
        lambda: (
            engine.sender._backlog.window and not engine.sender._backlog.window.has_room
        )
    )
    wait_for(lambda: engine.sender._backlog.window.durable_step >= STRIDE)
    time.sleep(0.5)
    waiting = engine.sender._backlog.window
    assert waiting is not None
    assert len(waiting) == 5
    assert waiting.credit_bytes == 64 << 20
    # At the engine, in its socket, and what the receiver's socket has taken.
    assert rss() - before < 3 * (64 << 20)
    play.run()
    engine.join()
    receiver.close()
    assert play.steps == expected(16)


def test_a_frame_that_is_larger_than_the_credit_goes_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credit, "CREDIT_BYTES", 1000)
    monkeypatch.setattr(replies, "CREDIT_BYTES", 1000)
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 20, n_atoms=100)
    play = Play(receiver)
    waiting: list[int] = []
    confirm = receiver.acknowledge

    def acknowledge(step: int) -> None:
        time.sleep(0.01)  # for the engine to send another one, if it may
        waiting.append(len(engine.sender._backlog.window or ()))
        confirm(step)

    monkeypatch.setattr(receiver, "acknowledge", acknowledge)
    play.run()
    engine.join()
    receiver.close()
    assert play.steps == expected(20)
    assert waiting == 20 * [1]


@pytest.mark.parametrize(
    ("granted", "n_frames"),
    [
        pytest.param(0, 12, id="an-older-driver-says-no-bytes"),
        pytest.param(3000, 3, id="bytes-of-three-frames"),
        pytest.param(1, 1, id="less-than-a-frame"),
    ],
)
def test_the_window_stops_at_frames_or_bytes(
    folder: Path, granted: int, n_frames: int
) -> None:
    context = zmq.Context()
    driver = context.socket(zmq.ROUTER)
    driver.linger = 0
    driver.bind(f"ipc://{folder}/s")
    hello = Message(Kind.HELLO, incarnation=7, parts=(b"{}", b"", b"", b""))
    made = Window(f"ipc://{folder}/s", hello, print)
    made.advance(0.0)
    identity, *raw = driver.recv_multipart()
    assert decode(raw).kind is Kind.HELLO
    welcome = Message(Kind.WELCOME, credit=12, credit_bytes=granted, incarnation=7)
    driver.send_multipart([identity, *encode(welcome)])
    made.advance(5.0)
    step = 0
    while made.has_room:
        step += STRIDE
        made.push(step, [bytes(64), bytes(936)])
    assert len(made) == n_frames
    ack = Message(Kind.ACK, STRIDE, incarnation=7)
    driver.send_multipart([identity, *encode(ack)])
    made.advance(5.0)
    assert len(made) == n_frames - 1
    assert made.has_room
    made.close()
    driver.close()
    context.term()


def test_an_older_driver_does_not_unbind_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(window, "CREDIT_BYTES", 5000)
    hello = Message(Kind.HELLO, incarnation=7, parts=(b"{}", b"", b"", b""))
    made = Window("ipc:///nowhere", hello, print)
    made._welcome(Message(Kind.WELCOME, credit=12))
    monkeypatch.setattr(made, "_send", lambda _: None)
    while made.has_room:
        made.push(len(made), [bytes(1000)])
    assert len(made) == 5
    made.close()


def test_all_ranks_together_have_the_bytes_of_one_engine() -> None:
    hello = Message(Kind.HELLO, n_atoms=10**6, n_local=10**4, rank=3, n_ranks=100)
    assert replies.welcome(hello, 8).credit_bytes == (64 << 20) // 100
    assert replies.welcome(hello, 8).credit == 1


# -- an engine that does not read ------------------------------------------------------


def test_an_engine_that_never_reads_fills_no_memory_and_goes_on_when_it_reads(
    folder: Path,
) -> None:
    """N5: the driver's queue is at its limit; the last word is said again later."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    with Peer(receiver) as peer:
        peer.socket.close()
        peer.socket = peer.context.socket(zmq.DEALER)
        peer.socket.linger, peer.socket.rcvhwm = 0, 1
        peer.socket.connect(receiver.endpoint)
        opened(peer)
        steps = list(range(STRIDE, 13 * STRIDE, STRIDE))
        for step in steps[:11]:
            assert frames(peer.frame(step, step - STRIDE if step > STRIDE else -1))
        # Confirmed again and again, until no queue takes more.
        deadline = time.monotonic() + 30.0
        while not receiver._owes_word:
            receiver.acknowledge(steps[0])
            assert time.monotonic() < deadline
        before, began = rss(), time.monotonic()
        for _ in range(100_000):
            receiver.acknowledge(steps[0])
        assert time.monotonic() - began < 60.0
        assert rss() - before < 4e6
        receiver.acknowledge(steps[10])  # finds no room either
        assert frames(peer.frame(steps[11], steps[10])) == [steps[11]]
        # Now it reads, and gets the last word without having to ask.
        last = -1
        while last < steps[10]:
            receiver.receive()
            if peer.socket.poll(10):
                last = decode(peer.socket.recv_multipart()).step
            assert time.monotonic() < deadline + 60.0
        assert not receiver._owes_word
        receiver.acknowledge(steps[11])
        answer = peer.answer()
        while answer.step < steps[11]:
            answer = peer.answer()
        assert (answer.kind, answer.step) == (Kind.ACK, steps[11])
    receiver.close()


# -- peers -----------------------------------------------------------------------------

STRANGERS = """
import sys, time, zmq
context = zmq.Context()
made = [context.socket(zmq.DEALER) for _ in range(int(sys.argv[2]))]
for each in made:
    each.linger = 0
    each.connect(sys.argv[1])
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def strangers() -> Iterator[Callable[[str, int], subprocess.Popen[str]]]:
    """So many connections of another process, which ends with its input."""
    started: list[subprocess.Popen[str]] = []

    def start(endpoint: str, number: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", STRANGERS, endpoint, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.communicate(timeout=TIMEOUT)


def test_connections_beside_a_run_are_refused_counted_and_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture, strangers
) -> None:
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 200)
    play = Play(receiver, pause=0.001)
    play.run(n_frames=20)
    strangers(receiver.endpoint, 30)
    # All of a rush may be refused at first; libzmq tries again.
    wait_for(lambda: receiver._doorman.n_too_many >= 30 - doorman.MOST_STRANGERS)
    time.sleep(0.5)
    assert len(receiver._doorman.connections) <= 1 + doorman.MOST_STRANGERS
    # The run may renew its connection all the same.
    again = Window(receiver.endpoint, engine.sender._backlog.window._hello, print)  # type: ignore[union-attr]
    deadline = time.monotonic() + TIMEOUT
    while not again._welcomed:
        again.advance(0.02)
        play.take_what_is_there()
        assert time.monotonic() < deadline
    again.close()
    play.run()
    engine.join()
    receiver.close()
    assert play.steps == expected(200)
    assert codes(caplog).count("peers_refused") == 1


def test_a_run_may_have_any_number_of_ranks(folder: Path, strangers) -> None:
    """No limit holds before the run streams, since all of them may be its ranks."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    strangers(receiver.endpoint, 30)
    wait_for(lambda: len(receiver._doorman.connections) == 30)
    n_ranks = 20
    peers = [
        Peer(receiver, [rank] if rank < 3 else [], rank, n_ranks, 100 + rank)
        for rank in range(n_ranks)
    ]
    started = [event for peer in peers for event in peer.hello()]
    assert len(started) == 1
    receiver.accept(-1)
    assert receiver._doorman.n_too_many == 0
    arrived = [step for peer in peers for step in frames(peer.frame(STRIDE, -1))]
    assert arrived == [STRIDE]
    for peer in peers:
        peer.__exit__()
    receiver.close()


def test_half_open_handshakes_disturb_no_stream_and_are_closed(folder: Path) -> None:
    """N7: 500 of them."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 400)
    play = Play(receiver, pause=0.001)
    play.run(n_frames=20)
    half = [socket.socket(socket.AF_UNIX) for _ in range(500)]
    knocking = threading.Thread(
        target=lambda: [knock(each, folder) for each in half], daemon=True
    )
    knocking.start()
    play.run()
    engine.join()
    knocking.join(TIMEOUT)
    assert play.steps == expected(400)
    assert engine.sender.seconds_waited < 30.0
    # Some may be there still; after the time for a handshake none is.
    wait_for(lambda: not receiver._doorman.connections, 30.0)
    for each in half:
        each.close()
    receiver.close()


def knock(each: socket.socket, folder: Path) -> None:
    each.connect(str(folder / "s"))
    each.sendall(b"\xff\0\0\0")


def test_a_thousand_greetings_are_answered_a_few_times_and_said_once(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = LammpsReceiver(f"ipc://{folder}/s", clock=clock)
    with Peer(receiver) as peer, Peer(receiver, incarnation=8) as other:
        opened(peer)
        assert other.hello() == []
        hello = Message(Kind.HELLO, n_atoms=3, n_local=0, incarnation=9)
        hello = replace(hello, parts=(pack_card(peer.card), b"", b"", b""))
        for number in range(1000):
            other.socket.send_multipart(encode(hello))
            if number % 64 == 0:
                take(receiver)
        while take(receiver) or receiver._callers.n_ignored < 981:
            pass
        assert frames(peer.frame(4, -1)) == [4]
        # With the first one.
        assert [other.answer().kind for _ in range(20)] == 20 * [Kind.NOTE]
        assert other.hears_nothing()
        assert receiver._callers.n_ignored == 981
        assert codes(caplog) == ["greetings_ignored"]
        clock.now += 1.0
        assert other.hello() == []
        assert other.answer().kind is Kind.NOTE
    receiver.close()


def test_of_many_callers_a_few_are_told_to_wait(clock: Clock) -> None:
    calls = callers.Callers(clock)
    heard = [calls.heard(bytes([number])) for number in range(12)]
    assert heard == [True] * 8 + [False] * 4
    assert calls.heard(b"\x03")
    clock.now += 11.0  # the first ones have gone
    assert calls.heard(b"\x0b")
    assert calls.n_ignored == 4


# -- who is there ----------------------------------------------------------------------

ENGINE = """
import sys
sys.path.insert(0, sys.argv[2])
from lammpsfakes import STRIDE, FakeEngine
from mimyria_driver.lammps.sender import Sender
sender, engine = Sender(sys.argv[1], ("Ar",), STRIDE), FakeEngine()
engine.step = int(sys.argv[3])
for _ in range(3):
    engine.step += STRIDE
    sender.sample(engine)
print("computes", flush=True)
sys.stdin.read()
"""


def start_engine(receiver: LammpsReceiver, step: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE, receiver.endpoint, str(HERE), str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_an_engine_that_dies_is_lost_and_its_successor_is_there(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver = LammpsReceiver(f"ipc://{folder}/s", clock=clock)
    assert receiver.alive is None
    play = Play(receiver)
    engine = start_engine(receiver, 0)
    play.run(n_frames=3)
    assert engine.stdout is not None
    assert engine.stdout.readline() == "computes\n"
    # An hour of silence.
    for _ in range(60):
        clock.now += 60.0
        play.run(0.01)
        assert receiver.alive is True
    assert codes(caplog) == []
    engine.kill()
    engine.communicate(timeout=TIMEOUT)
    wait_for(lambda: not receiver._doorman.connections)
    for _ in range(3):  # not for the moments in which a hook renews its socket
        play.run(0.05)
        assert receiver.alive is True
        clock.now += 1.0
    clock.now += 1.0
    play.run(0.05)
    assert receiver.alive is False
    play.run(0.05)
    assert codes(caplog) == ["engine_lost"]
    successor = start_engine(receiver, 3 * STRIDE)
    play.take = take_all(play)  # type: ignore[method-assign]
    play.run(n_frames=6)
    assert receiver.alive is True
    assert "another engine takes the place" in caplog.text
    assert codes(caplog) == ["engine_lost"]
    successor.kill()
    successor.communicate(timeout=TIMEOUT)
    receiver.close()


def take_all(play: Play) -> Callable[[object], None]:
    """The successor's first frame has no frame before it."""

    def taken(event: object) -> None:
        step = getattr(getattr(event, "frame", None), "step", None)
        if step is None:
            play.receiver.accept(play.steps[-1])
        else:
            play.steps.append(step)
            play.receiver.acknowledge(step)

    return taken


def test_the_same_engine_is_back_over_another_connection(
    folder: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    receiver = LammpsReceiver(f"ipc://{folder}/s", clock=clock)
    with Peer(receiver) as peer:
        opened(peer)
        assert frames(peer.frame(4, -1)) == [4]
        number = receiver._presence._ranks[0]
        assert number in receiver._doorman.connections
        peer.socket.close()
        wait_for(lambda: number not in receiver._doorman.connections)
        for _ in range(2):
            receiver.receive()
            clock.now += 5.0
        receiver.receive()
        assert receiver.alive is False
        peer.socket = peer.context.socket(zmq.DEALER)
        peer.socket.linger = 0
        peer.socket.connect(receiver.endpoint)
        assert peer.hello() == []
        clock.now += 1.0
        receiver.receive()
        assert receiver.alive is True
        assert codes(caplog) == ["engine_lost", "engine_back"]
        assert peer.send(Message(Kind.BYE, parts=(b"done",)))
        assert receiver.alive is None
    receiver.close()
    assert codes(caplog) == ["engine_lost", "engine_back"]
    assert presence._GRACE < 5.0
