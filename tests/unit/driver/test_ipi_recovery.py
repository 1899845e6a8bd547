"""What the client of i-PI knows again: after its own death, and after that of i-PI."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ipiserver import H, Server, header

from mimyria.errors import FrameError
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.keeper import guard, release
from mimyria_driver.ipi.memory import Memory
from mimyria_driver.ipi.placing import Attendance, follows
from mimyria_driver.ipi.spool import Configuration, Spool
from mimyria_driver.ipi.transport import parse_address, remove_stale_socket
from mimyria_driver.sources import Arrived, Started
from mimyria_driver.velocities import Sample

CELL = np.ascontiguousarray(H).tobytes()
TIMEOUT = 20.0


def positions(step: int, branch: float = 0.0) -> np.ndarray:
    """Two atoms that swing, with no common period."""
    phase = np.array([[0.11, 0.23, 0.31], [0.07, 0.17, 0.29]]) * step
    return np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]) + 0.1 * np.sin(phase) + branch


def new_client(folder: Path) -> IpiClient:
    ticks = iter(range(0, 10**6, 10))
    return IpiClient(
        f"unix:{folder}/driver",
        np.array([8, 1]),
        np.array([16.0, 1.0]),
        0.5,
        2,
        folder=folder / "run",
        clock=lambda: next(ticks),
    )


def ask(server: Server, client: IpiClient, step: int, branch: float = 0.0) -> list:
    """One request of i-PI, answered; the frames that came of it, and `Started`."""
    server.say(client, header("STATUS"))
    assert server.hear(12) == header("NEEDINIT")
    server.say(client, header("INIT") + bytes(8) + header("STATUS"))
    assert server.hear(12) == header("READY")
    body = CELL + bytes(72) + (2).to_bytes(4, "little")
    body += positions(step, branch).tobytes()
    events = server.say(client, header("POSDATA") + body + header("GETFORCE"))
    for event in events:
        if isinstance(event, Started):
            client.accept(-1)
    assert server.hear(12) == header("FORCEREADY")
    server.hear_rest()
    return [*events, *client.receive()]


def frames(events: list) -> dict[int, bytes]:
    return {
        each.frame.step: each.frame.positions.tobytes()
        + each.frame.velocities.tobytes()
        for each in events
        if isinstance(each, Arrived)
    }


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("last", [1, 2, 3, 8, 9])
def test_killed_client_knows_its_step_and_misses_no_frame(
    folder: Path, server: Server, last: int, answered: bool
) -> None:
    """Killed after the answer, or between the file and the answer."""
    client = new_client(folder)
    server.accept(client)
    found = {}
    for step in range(last + 1):
        found |= frames(ask(server, client, step))
    client.close()  # says nothing to i-PI and leaves its files as they are
    server.drop()

    again = new_client(folder)
    (started,) = again.receive()
    assert isinstance(started, Started)
    again.accept(-1)
    recovered = frames(again.receive())
    server.accept(again)
    for step in range(last + 1 if answered else last, 14):
        events = ask(server, again, step)
        assert not any(isinstance(each, Started) for each in events)
        recovered |= frames(events)
    again.close()
    assert set(found) <= set(recovered)
    assert sorted(recovered) == [2, 4, 6, 8, 10, 12]
    for step, content in recovered.items():
        assert found.get(step, content) == content
        expected = (positions(step + 1) - positions(step - 1)) / 1.0
        velocities = np.frombuffer(content[48:]).reshape(2, 3)
        np.testing.assert_allclose(velocities, expected * 0.52917721, rtol=1e-6)


def test_acknowledged_configurations_are_not_replayed(
    folder: Path, server: Server
) -> None:
    client = new_client(folder)
    server.accept(client)
    for step in range(30):
        ask(server, client, step)
    client.acknowledge(24)
    assert client._series._spool is not None
    assert [each.step for each in client._series._spool.kept] == list(range(24, 30))
    client.close()


@pytest.mark.parametrize("rounding", [0.0, 4.5e-10])
def test_ipi_that_goes_back_gets_the_steps_that_it_had(
    folder: Path, server: Server, rounding: float
) -> None:
    client = new_client(folder)
    server.accept(client)
    before = {}
    for step in range(21):
        before |= frames(ask(server, client, step))
    server.drop()
    client.receive()
    server.accept(client)
    events = ask(server, client, 10, rounding)
    assert isinstance(events[0], Started)
    after = []
    for step in range(11, 25):
        after += ask(server, client, step, rounding)
    client.close()
    assert list(frames(after)) == [12, 14, 16, 18, 20, 22]
    # It goes on from frame 10, which this stream has not sent.
    assert after[0].previous_step == 10
    same = [frames(after)[step] == before[step] for step in (12, 14, 16, 18)]
    assert all(same) if rounding == 0.0 else not any(same)


def test_other_velocities_after_a_step_back_are_no_continuation(
    folder: Path, server: Server
) -> None:
    client = new_client(folder)
    server.accept(client)
    for step in range(21):
        ask(server, client, step)
    server.drop()
    client.receive()
    server.accept(client)
    ask(server, client, 10)
    after = []
    for step in range(11, 16):
        after += ask(server, client, step, 0.02 * (step - 10))
    client.close()
    assert after[0].frame.step == 12
    assert after[0].previous_step == -1


def test_frames_that_were_left_out_are_noticed() -> None:
    cell = np.eye(3) * 30.0
    samples = [Sample(step, positions(step), cell) for step in range(40)]
    for n_known in (2, 3, 6):
        for at in range(n_known, 38):
            known = samples[at - n_known : at]
            assert follows(known, samples[at])
            # Two alone do not tell where the third will be.
            assert n_known == 2 or not follows(known, samples[at + 1])
    # Through the border of the cell, as an engine that wraps has it.
    wrapped = Sample(20, positions(20) - cell[0], cell)
    assert follows(samples[17:20], wrapped)
    assert not follows([], samples[0])


def swinging(step: int, count: int, wrapped: bool = False) -> Sample:
    """Twenty atoms at 1000 to 3600 cm⁻¹ and 0.5 fs; `count` is what a client counts."""
    rng = np.random.default_rng(4)
    speed, phase = rng.uniform(0.1, 0.34, (20, 3)), rng.uniform(0, 6.0, (20, 3))
    cell = np.eye(3) * 30.0
    jumps = rng.integers(-1, 2, (20, 3)) * (step % 2 if wrapped else 0)
    return Sample(count, 0.1 * np.sin(speed * step + phase) + jumps @ cell, cell)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("n_missing", [1, 2, 3, 10, 37])
def test_steps_that_another_client_has_are_missed_within_a_connection(
    n_missing: int, wrapped: bool
) -> None:
    attendance, known, broken = Attendance(), [], []
    step = 0
    for count in range(60):
        step += 1 + n_missing * (count in (20, 30))
        new = swinging(step, count, wrapped)
        if attendance.is_broken(known, new):
            broken.append(count)
            known = []
        known = [*known[-2:], new]
    assert broken == [20, 30]
    with pytest.raises(FrameError, match="3rd time since step 20: another client has"):
        attendance.is_broken(known, swinging(step + 1 + n_missing, 60, wrapped))


def test_misses_far_from_each_other_are_no_reason_to_end() -> None:
    attendance = Attendance()
    for begin in range(0, 500, 60):
        known = [swinging(begin + n, begin + n) for n in range(3)]
        assert not attendance.is_broken(known, swinging(begin + 3, begin + 3))
        assert attendance.is_broken(known, swinging(begin + 4, begin + 3))


def test_a_torn_spool_is_cut_where_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "s"
    spool = Spool(path, 2)
    for step in range(5):
        spool.append(Configuration(step, 3, CELL, positions(step).tobytes()))
    spool.close()
    whole = path.read_bytes()
    size = len(whole) // 5
    for cut in range(3 * size, 4 * size, 7):
        path.write_bytes(whole[:cut])
        again = Spool(path, 2)
        assert [each.step for each in again.kept] == [0, 1, 2]
        assert again.kept[1] == Configuration(1, 3, CELL, positions(1).tobytes())
        again.append(Configuration(3, 3, CELL, positions(3).tobytes()))
        again.close()
        assert path.read_bytes() == whole[: 4 * size]
    flipped = bytearray(whole)
    flipped[2 * size + 90] ^= 4
    path.write_bytes(flipped)
    again = Spool(path, 2)
    assert [each.step for each in again.kept] == [0, 1]
    again.close()
    other = Spool(path, 3)
    assert not other.kept
    other.close()


def test_a_spool_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimyria_driver.ipi.spool._LARGEST", 4000)
    spool = Spool(tmp_path / "s", 2)
    for step in range(500):
        spool.append(Configuration(step, 0, CELL, positions(step).tobytes()))
        spool.forget(step - 6)
        assert (tmp_path / "s").stat().st_size < 4300
    spool.close()
    again = Spool(tmp_path / "s", 2)
    assert [each.step for each in again.kept][-7:] == list(range(493, 500))
    again.close()


def test_a_memory_outlives_its_process_and_forgets_the_oldest(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "m", 2, capacity=50)
    for step in range(80):
        memory.remember(step, CELL, positions(step).tobytes())
    memory.close()
    size = (tmp_path / "m").stat().st_size
    again = Memory(tmp_path / "m", 2, capacity=50)
    for step in range(80):
        expected = step if step >= 30 else None
        rounded = (positions(step) + 5e-10).tobytes()
        assert again.recall(CELL, rounded) == expected
    assert again.knows(40, CELL, positions(40).tobytes())
    assert not again.knows(41, CELL, positions(40).tobytes())
    again.close()
    assert size < 50 * 100
    other = Memory(tmp_path / "m", 3, capacity=50)
    assert other.recall(CELL, bytes(72)) is None
    other.close()


def test_killed_process_leaves_no_reset_behind(folder: Path) -> None:
    """With unread bytes in its socket: the other end reads to an orderly end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen(1)
    code = (
        "import socket, sys, time\n"
        "from mimyria_driver.ipi.keeper import guard\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "guard(s) if sys.argv[2] == 'guarded' else None\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    seen = {}
    for kind in ("bare", "guarded"):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder / "s"), kind],
            stdout=subprocess.PIPE,
        )
        peer, _ = listener.accept()
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        peer.settimeout(TIMEOUT)
        peer.sendall(header("STATUS"))
        process.kill()
        process.communicate(timeout=TIMEOUT)
        try:
            seen[kind] = peer.recv(1)
            peer.sendall(header("STATUS"))  # and it may go on writing
        except ConnectionResetError:
            seen[kind] = b"reset"
        peer.close()
    listener.close()
    assert seen == {"bare": b"reset", "guarded": b""}


def test_a_keeper_ends_when_both_ends_have_let_go() -> None:
    ours, theirs = socket.socketpair()
    keeper = guard(ours)
    ours.close()
    release(keeper)
    theirs.settimeout(TIMEOUT)
    assert theirs.recv(1) == b""
    theirs.close()
    deadline = time.monotonic() + TIMEOUT
    while os.waitpid(keeper[0], os.WNOHANG) == (0, 0):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_only_sockets_of_our_own_are_removed(folder: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(folder / "s"))
    stale.close()
    (folder / "file").touch()
    assert not remove_stale_socket(parse_address(f"unix:{folder}/file"))
    assert not remove_stale_socket(parse_address(f"unix:{folder}/nothing"))
    assert not remove_stale_socket(parse_address("localhost:31415"))
    assert remove_stale_socket(parse_address(f"unix:{folder}/s"))
    assert not (folder / "s").exists()


def test_full_disk_makes_ipi_wait_and_no_more(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = new_client(folder)
    server.accept(client)
    found = {}
    for step in range(6):
        found |= frames(ask(server, client, step))
    assert client._series._spool is not None
    append = client._series._spool.append

    def full(configuration: Configuration) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(client._series._spool, "append", full)
    server.say(client, header("STATUS"))
    server.say(client, header("INIT") + bytes(8) + header("STATUS"))
    server.hear(24)
    body = CELL + bytes(72) + (2).to_bytes(4, "little") + positions(6).tobytes()
    assert server.say(client, header("POSDATA") + body + header("GETFORCE")) == []
    assert client.receive() == []
    assert server.peer is not None
    server.peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.peer.recv(1)
    server.peer.settimeout(5.0)
    monkeypatch.setattr(client._series._spool, "append", append)
    found |= frames(client.receive())
    assert server.hear(12) == header("FORCEREADY")
    server.hear_rest()
    for step in range(7, 12):
        found |= frames(ask(server, client, step))
    client.close()
    assert sorted(found) == [2, 4, 6, 8, 10]
