"""Sender and receiver through a bad line, and against peers that do not behave."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

import pytest
import zmq
from chaosproxy import ChaosProxy
from lammpsfakes import STRIDE, FakeEngine, kill

from mimyria_driver.lammps import window
from mimyria_driver.lammps.options import Options, parse_options
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.sender import Sender
from mimyria_driver.sources import Arrived, Ended, Started

TIMEOUT = 120.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real times."""
    monkeypatch.setattr(window, "ACK_PATIENCE", 0.5)
    monkeypatch.setattr(window, "FIRST_PATIENCE", 0.2)
    monkeypatch.setattr(window, "LAST_PATIENCE", 0.5)


class Engine:
    def __init__(self, endpoint: str, n_frames: int, n_atoms: int = 2) -> None:
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self.engine = FakeEngine(n_atoms=n_atoms)
        self.sender = Sender(endpoint, ("Ar",), STRIDE, self.lines.append, Options())
        self.n_frames = n_frames
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            for _ in range(self.n_frames):
                self.engine.step += STRIDE
                self.sender.sample(self.engine)  # type: ignore[arg-type]
            self.sender.finish()
        except BaseException as error:
            self.error = error
        finally:
            self.sender.close()

    def join(self) -> None:
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        assert self.error is None


class Play:
    """The service: what it has durable, and whether every frame is what it was."""

    def __init__(self, receiver: LammpsReceiver, pause: float = 0.0) -> None:
        self.receiver, self.pause = receiver, pause
        self.steps: list[int] = []
        self.ended = False

    def run(self, seconds: float = TIMEOUT, n_frames: int = 10**9) -> None:
        poller = zmq.Poller()
        poller.register(self.receiver.pollable, zmq.POLLIN)
        deadline = time.monotonic() + seconds
        while not self.ended and time.monotonic() < deadline:
            poller.poll(20)
            self.take_what_is_there()
            if len(self.steps) >= n_frames:
                return

    def take_what_is_there(self) -> None:
        for event in self.receiver.receive():
            self.take(event)

    def take(self, event: object) -> None:
        if isinstance(event, Started):
            self.receiver.accept(self.steps[-1] if self.steps else -1)
        elif isinstance(event, Ended):
            self.ended = True
        elif isinstance(event, Arrived):
            frame = event.frame
            assert (frame.positions == float(frame.step)).all()
            if not self.steps or frame.step > self.steps[-1]:
                before = self.steps[-1] if self.steps else -1
                assert event.previous_step == before
                self.steps.append(frame.step)
            time.sleep(self.pause)
            self.receiver.acknowledge(frame.step)


def expected(n_frames: int) -> list[int]:
    return list(range(STRIDE, (n_frames + 1) * STRIDE, STRIDE))


@pytest.mark.parametrize(
    ("seed", "n_frames", "driver_kills"),
    [
        # Seeds by which the first flip, cut and stall come among the first 22 pieces:
        # how many there are depends on how fast they are passed on.
        pytest.param(112, 400, 0, id="short"),
        pytest.param(839, 400, 3, id="short-and-kills"),
        *(
            pytest.param(seed, 6_000, 12, id=f"soak-{seed}", marks=pytest.mark.soak)
            for seed in range(3, 8)
        ),
    ],
)
def test_chaos_on_the_line_costs_no_frame(
    folder: Path, seed: int, n_frames: int, driver_kills: int
) -> None:
    """N1: resets, cuts in messages, stalls, bit flips; each frame once, as it was."""
    proxy = ChaosProxy(
        folder / "p", folder / "s", seed, flips=0.01, cuts=0.01, stalls=0.01, pause=0.1
    )
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/p", n_frames)
    play = Play(receiver)
    for number in range(driver_kills):
        play.run(n_frames=n_frames * (number + 1) // (driver_kills + 1))
        kill(play.receiver)
        play.receiver = LammpsReceiver(f"ipc://{folder}/s")
    # The last word may be lost; then the engine has waited for it long enough.
    while engine.thread.is_alive():
        play.run(0.1)
    engine.join()
    proxy.close()
    play.receiver.close()
    assert play.steps == expected(n_frames)
    assert proxy.done["flips"] > 0
    assert proxy.done["cuts"] > 0
    assert proxy.done["stalls"] > 0
    assert proxy.done["connections"] > 1 + driver_kills


@pytest.mark.parametrize("seconds", [2.0, pytest.param(60, marks=pytest.mark.soak)])
def test_a_black_hole_is_noticed_once_and_costs_no_frame(
    folder: Path, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N2: the line swallows everything and stays open."""
    monkeypatch.setattr(window, "ACK_PATIENCE", 1.5)
    proxy = ChaosProxy(folder / "p", folder / "s")
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/p", 200)
    play = Play(receiver, pause=0.002)
    play.run(n_frames=50)
    n_lines = len(engine.lines)  # those of a slow machine
    proxy.black_hole.set()
    began = time.monotonic()
    while not any("confirmed nothing" in line for line in engine.lines[n_lines:]):
        play.run(0.05)
        assert time.monotonic() - began < TIMEOUT
    play.run(max(0.0, seconds - (time.monotonic() - began)))
    proxy.black_hole.clear()
    play.run()
    engine.join()
    proxy.close()
    receiver.close()
    assert play.steps == expected(200)
    assert proxy.done["swallowed"] > 0
    lines = engine.lines[n_lines:]
    assert sum("confirmed nothing" in line for line in lines) <= 1 + seconds / 30
    assert sum("is there again" in line for line in lines) == 1


def test_a_driver_that_hangs_for_a_while_makes_the_engine_wait(folder: Path) -> None:
    """N4: its sockets live, it does not look at them."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 120)
    play = Play(receiver)
    play.run(n_frames=40)
    step = engine.engine.step
    time.sleep(2.5)
    assert engine.engine.step <= step + 20 * STRIDE
    play.run()
    engine.join()
    receiver.close()
    assert play.steps == expected(120)
    assert any("confirmed nothing" in line for line in engine.lines)


def test_an_engine_that_never_reads_does_not_block_the_driver(folder: Path) -> None:
    """N5: its queue is full, and answers to it are lost; others are served."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 3)
    play = Play(receiver)
    play.run(n_frames=3)
    # Confirmations without end to an engine that has all it waits for.
    began = time.monotonic()
    assert receiver._session is not None
    for _ in range(20_000):
        receiver.acknowledge(play.steps[-1])
    assert time.monotonic() - began < 20.0
    play.run()
    engine.join()
    again = Engine(f"ipc://{folder}/s", 50)
    play = Play(receiver)
    play.run()
    again.join()
    receiver.close()
    assert play.steps == expected(50)


def test_a_flood_of_greetings_leaves_the_stream_alone(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """N7: another engine, a thousand calls, half handshakes."""
    import socket

    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 300)
    play = Play(receiver, pause=0.001)
    play.run(n_frames=20)
    half = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for each in half:
        each.connect(str(folder / "s"))
        each.sendall(b"\xff\0\0\0")
    stranger = Engine(f"ipc://{folder}/s", 5)
    context = zmq.Context()
    flood = context.socket(zmq.DEALER)
    flood.linger = 0
    flood.connect(f"ipc://{folder}/s")
    deadline = time.monotonic() + TIMEOUT
    while stranger.sender._backlog.window is None and time.monotonic() < deadline:
        time.sleep(0.01)
    window_of_stranger = stranger.sender._backlog.window
    assert window_of_stranger is not None
    hello = window_of_stranger.stamped(window_of_stranger._hello)
    for _ in range(1000):
        flood.send_multipart(hello, zmq.NOBLOCK)
    play.run()
    assert play.ended
    engine.join()
    assert play.steps == expected(300)
    assert any("serves another engine" in line for line in stranger.lines)
    assert caplog.text.count("another engine called") <= 2
    flood.close()
    context.term()
    for each in half:
        each.close()
    # Now it is the other one's turn.
    play = Play(receiver)
    play.run()
    stranger.join()
    receiver.close()
    assert play.steps == expected(5)


def test_a_stalled_driver_costs_little_memory(folder: Path) -> None:
    """N8: 10 000 atoms, half a megabyte a frame, in one process for both ends."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    engine = Engine(f"ipc://{folder}/s", 60, n_atoms=10_000)
    play = Play(receiver)
    play.run(n_frames=10)
    before = rss()
    time.sleep(3.0)
    grown = rss() - before
    play.run()
    engine.join()
    receiver.close()
    assert play.steps == expected(60)
    assert engine.sender.seconds_waited > 2.0
    assert grown < 64e6


def rss() -> float:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * resource.getpagesize())


class Ranks:
    """Two of them, of which one is in trouble at its tenth frame."""

    def __init__(self, endpoint: str, options: str, pause: float = 0.0) -> None:
        self.lines: list[str] = []
        self.pause = pause
        self.may_fail = threading.Event()
        self.has_failed = threading.Event()
        self.senders = [
            Sender(
                endpoint, ("Ar",), STRIDE, self.lines.append, parse_options(options, {})
            )
            for _ in range(2)
        ]
        self.engines = [FakeEngine(rank, 2) for rank in range(2)]
        self.threads = [
            threading.Thread(target=self.run, args=(rank,), daemon=True)
            for rank in range(2)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, rank: int) -> None:
        sender, engine = self.senders[rank], self.engines[rank]
        for number in range(40):
            time.sleep(self.pause)
            engine.step += STRIDE
            if rank == 1 and number == 10:
                assert self.may_fail.wait(TIMEOUT)
                threading.Timer(0.1, self.has_failed.set).start()
                sender.detach("an atom was lost")
            sender.sample(engine)  # type: ignore[arg-type]
        sender.finish()
        sender.close()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()


def test_ranks_of_which_one_gives_up_end_together(folder: Path) -> None:
    """A rank in trouble says goodbye; the others must not wait for whole frames."""
    endpoint = f"ipc://{folder}/s"
    receiver = LammpsReceiver(endpoint)
    ranks = Ranks(endpoint, "")
    ranks.may_fail.set()
    play = Play(receiver)
    play.run()
    ranks.join()
    receiver.close()
    assert play.ended
    assert play.steps == expected(10)
    assert any(
        "the driver has left (a part of the engine has left" in x for x in ranks.lines
    )


@pytest.mark.parametrize(
    "options", ["", "policy=spill wait=0.2"], ids=["block", "spill"]
)
def test_a_rank_that_gives_up_while_the_driver_is_away_tells_the_next_one(
    folder: Path, options: str
) -> None:
    """Else the others would wait for it for good, once there is a driver again."""
    endpoint = f"ipc://{folder}/s"
    ranks = Ranks(endpoint, options, pause=0.001)
    play = Play(LammpsReceiver(endpoint))
    play.run(n_frames=10)
    kill(play.receiver)
    ranks.may_fail.set()
    assert ranks.has_failed.wait(TIMEOUT)
    play.receiver = LammpsReceiver(endpoint)
    play.run()
    ranks.join()
    play.receiver.close()
    assert play.ended
    assert play.steps == expected(10)
