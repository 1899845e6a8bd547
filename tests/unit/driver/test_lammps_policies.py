"""What the sender does while no driver takes its frames."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import zmq
from lammpsfakes import STRIDE, TIMEOUT, FakeEngine, kill, take

from mimyria_driver.lammps import backlog, window
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.sender import AwayError, Sender
from mimyria_driver.lammps.spill import Spill
from mimyria_driver.sources import Arrived, Ended, Started


@pytest.fixture
def endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield f"ipc://{Path(name)}/s"


class Engine:
    """One engine in a thread, so that the test can play the driver."""

    def __init__(
        self,
        endpoint: str,
        options: str,
        n_frames: int,
        pause: float = 0.0,
        begin: int = 0,
    ) -> None:
        self.lines: list[str] = []
        self.error: BaseException | None = None
        self.engine = FakeEngine()
        self.engine.step = begin
        self.sender = Sender(
            endpoint, ("Ar",), STRIDE, self.lines.append, parse_options(options, {})
        )
        self.n_frames, self.pause = n_frames, pause
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        try:
            for _ in range(self.n_frames):
                time.sleep(self.pause)
                self.engine.step += STRIDE
                self.sender.sample(self.engine)  # type: ignore[arg-type]
                if self.sender.stopping:
                    break
            self.sender.finish()
        except BaseException as error:
            self.error = error
        finally:
            self.sender.close()

    def join(self) -> None:
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def frames_until_end(receiver: LammpsReceiver) -> list[tuple[int, int]]:
    """(step, previous step) of every frame; all is confirmed."""
    found: list[tuple[int, int]] = []
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        poller.poll(50)
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            elif isinstance(event, Arrived):
                found.append((event.frame.step, event.previous_step))
                receiver.acknowledge(event.frame.step)
            elif isinstance(event, Ended):
                return found
    pytest.fail(f"no end after {found}")


def steps_up_to(n_frames: int) -> list[int]:
    return list(range(STRIDE, (n_frames + 1) * STRIDE, STRIDE))


def test_spilled_frames_reach_a_late_driver_in_their_order(endpoint: str) -> None:
    engine = Engine(endpoint, "policy=spill wait=0.1", n_frames=100)
    wait_for(lambda: engine.engine.step == 100 * STRIDE)  # MD has not waited
    assert len(engine.sender._backlog.spill or ()) > 80
    path = Path(engine.sender._backlog.spill.path)  # type: ignore[union-attr]
    assert path.stat().st_mode & 0o777 == 0o600
    receiver = LammpsReceiver(endpoint)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert engine.error is None
    assert [step for step, _ in found] == steps_up_to(100)
    assert [previous for _, previous in found] == [-1, *steps_up_to(99)]
    assert not path.exists()


def test_a_full_spill_file_makes_the_engine_wait(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least is 1 MB, but a frame of this engine has 300 bytes."""
    monkeypatch.setattr(backlog, "Spill", lambda path, limit: Spill(path, 5000))
    engine = Engine(endpoint, "policy=spill wait=0", n_frames=60, pause=0.005)
    wait_for(lambda: any("is full" in line for line in engine.lines))
    step = engine.engine.step
    time.sleep(0.3)
    assert engine.engine.step == step < 60 * STRIDE
    receiver = LammpsReceiver(endpoint)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert [step for step, _ in found] == steps_up_to(60)


def test_dropped_frames_are_counted_and_the_next_one_has_no_neighbour(
    endpoint: str,
) -> None:
    receiver = LammpsReceiver(endpoint)
    engine = Engine(endpoint, "policy=drop wait=0.3", n_frames=250, pause=0.01)
    seen, _ = take(receiver, -1, n_frames=20)
    kill(receiver)
    n_before = engine.sender.n_dropped
    wait_for(lambda: engine.sender.n_dropped >= n_before + 5)
    receiver = LammpsReceiver(endpoint)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert engine.error is None
    steps = sorted({*seen, *(step for step, _ in found)})
    assert len(steps) + engine.sender.n_dropped == 250
    # Nobody is told that two frames are neighbours which are not.
    borders = [step for step, previous in found if previous == -1]
    gaps = [b for a, b in pairwise(steps) if b - a > STRIDE]
    assert gaps
    assert set(gaps) <= set(borders)
    assert any("frames were dropped" in line for line in engine.lines)


def test_stop_ends_the_run_after_the_time_that_was_given(endpoint: str) -> None:
    begin = time.monotonic()
    engine = Engine(endpoint, "policy=stop wait=0.5", n_frames=10)
    engine.join()
    assert 0.4 < time.monotonic() - begin < TIMEOUT
    assert engine.error is None
    assert engine.sender.stopping
    assert engine.engine.step == STRIDE
    assert any("The run stops at step 4" in line for line in engine.lines)


def test_abort_is_an_error_after_the_time_that_was_given(endpoint: str) -> None:
    engine = Engine(endpoint, "policy=abort wait=0.5", n_frames=10)
    engine.join()
    assert isinstance(engine.error, AwayError)
    assert "has confirmed nothing for 0.5 s" in str(engine.error)


@pytest.mark.parametrize("policy", ["stop", "abort", "drop"])
def test_a_slow_driver_is_no_absent_one(endpoint: str, policy: str) -> None:
    receiver = LammpsReceiver(endpoint)
    engine = Engine(endpoint, f"policy={policy} wait=1.5", n_frames=40)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    steps: list[int] = []
    ended = False
    while not ended and poller.poll(1000 * TIMEOUT):
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            elif isinstance(event, Arrived):
                time.sleep(0.08)
                steps.append(event.frame.step)
                receiver.acknowledge(event.frame.step)
            else:
                ended = True
    engine.join()
    receiver.close()
    assert engine.error is None
    assert not engine.sender.stopping
    assert engine.sender.seconds_waited > 1.5
    assert steps == steps_up_to(40)


def test_at_a_barrier_all_frames_are_confirmed(endpoint: str) -> None:
    engine = Engine(endpoint, f"barrier={10 * STRIDE}", n_frames=20)
    receiver = LammpsReceiver(endpoint)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    last = 0
    while last < 10 * STRIDE:
        assert poller.poll(1000 * TIMEOUT)
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            elif isinstance(event, Arrived):
                last = event.frame.step
    time.sleep(0.3)
    # There is credit left, but the engine stands where its restart file is due.
    assert engine.engine.step == 10 * STRIDE
    receiver.acknowledge(last)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert [step for step, _ in found] == steps_up_to(20)[10:]


def test_a_hung_driver_gets_a_new_socket_and_all_again(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes frames and never confirms: only its silence shows that it hangs."""
    monkeypatch.setattr(window, "ACK_PATIENCE", 0.5)
    engine = Engine(endpoint, "", n_frames=20)
    receiver = LammpsReceiver(endpoint)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    taken = 0
    while taken < 8:
        assert poller.poll(1000 * TIMEOUT)
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            else:
                taken += 1
    wait_for(lambda: any("confirmed nothing for" in line for line in engine.lines))
    wait_for(lambda: engine.sender._backlog.window.n_sockets >= 2)  # type: ignore[union-attr]
    kill(receiver)
    receiver = LammpsReceiver(endpoint)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert [step for step, _ in found] == steps_up_to(20)
    assert any("the driver is there again" in line for line in engine.lines)


def test_a_dead_driver_is_said_within_five_seconds(endpoint: str) -> None:
    engine = Engine(endpoint, "", n_frames=40, pause=0.02)
    receiver = LammpsReceiver(endpoint)
    seen, _ = take(receiver, -1, n_frames=5)
    begin = time.monotonic()
    kill(receiver)
    wait_for(lambda: any("confirmed nothing for" in line for line in engine.lines))
    assert time.monotonic() - begin < 10.0  # 5 s, and time to say it
    receiver = LammpsReceiver(endpoint)
    found = frames_until_end(receiver)
    engine.join()
    receiver.close()
    assert sorted({*seen, *(step for step, _ in found)}) == steps_up_to(40)


def test_a_driver_that_is_behind_the_engine_tells_its_log(endpoint: str) -> None:
    engine = Engine(endpoint, "", n_frames=3, begin=1000)
    receiver = LammpsReceiver(endpoint)
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    ended = False
    while not ended and poller.poll(1000 * TIMEOUT):
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(400)
            elif isinstance(event, Arrived):
                receiver.acknowledge(event.frame.step)
            else:
                ended = True
    engine.join()
    receiver.close()
    text = " ".join(engine.lines)
    assert "has frames up to step 400, but this run begins at step 1004" in text
    assert "150 frames are missing" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("policy=wait", "must be one of block"),
        ("colour=red", "An option of the hook is one of policy"),
        ("wait", "An option of the hook is one of policy"),
        ("wait=long", "is no number"),
        ("wait=-1", "must not be below zero"),
    ],
)
def test_options_that_make_no_sense_are_refused(text: str, part: str) -> None:
    with pytest.raises(HookError, match=part):
        parse_options(text, {})


def test_options_come_from_the_environment_unless_they_are_given() -> None:
    environment = {"MIMYRIA_POLICY": "drop", "MIMYRIA_WAIT": "5", "MIMYRIA_BARRIER": ""}
    options = parse_options("policy=spill", environment)
    assert (options.policy, options.wait, options.barrier) == ("spill", 5.0, 0)


def test_a_spill_file_gives_back_what_it_got(tmp_path: Path) -> None:
    spill = Spill(str(tmp_path / "s"), 1000)
    for _ in range(3):
        for step in range(10):
            assert spill.push(step, [b"head", bytes([step]) * 70, b""])
        assert not spill.push(10, [bytes(900)])
        for step in range(10):
            assert spill.pop() == (step, [b"head", bytes([step]) * 70, b""])
        assert (tmp_path / "s").stat().st_size == 0
    spill.close()
    assert not (tmp_path / "s").exists()
