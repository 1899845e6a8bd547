"""The sender against a driver that dies, with ranks in lockstep as MPI keeps them."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from lammpsfakes import STRIDE, TIMEOUT, FakeEngine, kill, take

from mimyria_driver.lammps import window
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.sender import RefusedError, Sender
from mimyria_driver.sources import Arrived, Started


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield f"ipc://{Path(name)}/s"


class Engines:
    """Ranks as threads that meet at a barrier between two steps."""

    def __init__(self, endpoint: str, n_ranks: int, n_frames: int, pause: float):
        self.errors: list[BaseException] = []
        self.lines: list[str] = []
        self.n_frames, self.pause = n_frames, pause
        barrier = threading.Barrier(n_ranks)
        self.threads = [
            threading.Thread(
                target=self.run,
                args=(endpoint, FakeEngine(rank, n_ranks), barrier),
                daemon=True,
            )
            for rank in range(n_ranks)
        ]
        for thread in self.threads:
            thread.start()

    def run(
        self, endpoint: str, engine: FakeEngine, barrier: threading.Barrier
    ) -> None:
        sender = Sender(endpoint, ("Ar",), STRIDE, self.lines.append)
        try:
            for _ in range(self.n_frames):
                barrier.wait(TIMEOUT)
                # The ranks reach their hooks at different times.
                time.sleep(self.pause * (1 + engine.rank))
                engine.step += STRIDE
                sender.sample(engine)  # type: ignore[arg-type]
            sender.finish()
        except BaseException as error:
            self.errors.append(error)
            barrier.abort()
        finally:
            sender.close()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_a_slow_engine_survives_a_driver_that_restarts_between_its_steps(
    endpoint: str, n_ranks: int
) -> None:
    """The window is never full here, so each rank learns of it at another step."""
    engines = Engines(endpoint, n_ranks, n_frames=60, pause=0.01)
    seen: list[int] = []
    ended = False
    receiver = LammpsReceiver(endpoint)
    for _ in range(5):
        steps, ended = take(receiver, seen[-1] if seen else -1, n_frames=5)
        seen += steps
        kill(receiver)
        receiver = LammpsReceiver(endpoint)
    while not ended:
        steps, ended = take(receiver, seen[-1])
        seen += steps
    engines.join()
    receiver.close()
    assert engines.errors == []
    assert seen == list(range(STRIDE, 61 * STRIDE, STRIDE))


def test_a_refusal_is_an_error_with_the_reason(endpoint: str) -> None:
    receiver = LammpsReceiver(endpoint)
    engines = Engines(endpoint, n_ranks=1, n_frames=3, pause=0.0)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    assert poller.poll(1000 * TIMEOUT)
    assert isinstance(receiver.receive()[0], Started)
    receiver.refuse("the model knows no argon")
    engines.join()
    receiver.close()
    (error,) = engines.errors
    assert isinstance(error, RefusedError)
    assert str(error) == "The driver refuses this run: the model knows no argon"


def test_a_refusal_finds_an_engine_that_called_again_meanwhile(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver listens late, and ends with its first refusal."""
    monkeypatch.setattr(window, "FIRST_PATIENCE", 1.5)  # then twice as long
    receiver = LammpsReceiver(endpoint)
    engines = Engines(endpoint, n_ranks=1, n_frames=3, pause=0.0)
    deadline = time.monotonic() + TIMEOUT
    while not any("waiting for the driver" in line for line in engines.lines):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1.0)  # its first connection is closed; both calls are here
    assert isinstance(receiver.receive()[0], Started)
    receiver.refuse("the model knows no argon")
    receiver.close()
    engines.join()
    (error,) = engines.errors
    assert isinstance(error, RefusedError)


def test_the_engine_waits_while_its_window_is_full(endpoint: str) -> None:
    receiver = LammpsReceiver(endpoint)
    engines = Engines(endpoint, n_ranks=1, n_frames=30, pause=0.0)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    steps: list[int] = []
    while poller.poll(500 if len(steps) >= 8 else 1000 * TIMEOUT):
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            elif isinstance(event, Arrived):
                steps.append(event.frame.step)
    # Nothing was acknowledged, so this is the whole window.
    assert steps == list(range(STRIDE, (len(steps) + 1) * STRIDE, STRIDE))
    assert 8 <= len(steps) <= 16
    receiver.acknowledge(steps[-1])
    rest, ended = take(receiver, -1)
    engines.join()
    receiver.close()
    assert ended
    assert steps + rest == list(range(STRIDE, 31 * STRIDE, STRIDE))
    assert engines.errors == []


def test_a_sender_without_settings_says_what_it_needs() -> None:
    with pytest.raises(HookError, match="needs the driver's endpoint, one element"):
        Sender("", (), 0)
