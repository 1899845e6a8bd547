"""Clients of the real i-PI that die or hang: i-PI goes on, and no step is missing."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.spool import Configuration, Spool
from tests.integration import dying_clients
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    NUMBERS,
    OUTPUTS,
    STEPS,
    TIMEOUT,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    read_bin,
    run_ipi,
    start_ipi,
)

pytestmark = pytest.mark.engine

UNIT = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
PARAMETERS = len(" dt_fs : 0.5 , ")
# Bytes of a request, from one thing that is said to the next, in both framings.
STATUS, INIT, POSDATA = 12, 12 + 8 + PARAMETERS, 12 + 144 + 4 + 24 * len(NUMBERS)
BORDERS = {
    "True": np.cumsum([0, STATUS, INIT, STATUS, POSDATA]).tolist(),
    "False": np.cumsum([0, STATUS, INIT, STATUS, POSDATA, STATUS]).tolist(),
}
MIDDLE = STATUS + INIT + STATUS + POSDATA // 2


def kill_clients(folder: Path, *deaths: str) -> None:
    done = subprocess.run(
        [sys.executable, dying_clients.__file__, str(folder), *deaths],
        timeout=4 * TIMEOUT,
        check=False,
    )
    assert done.returncode == 0


def check_all_steps(folder: Path, collected: Collected) -> None:
    """Each step once, with the velocities that i-PI has printed."""
    frames = {each.frame.step: each.frame for each in collected.frames}
    assert len(frames) == len(collected.frames)
    assert sorted(frames) == list(range(1, STEPS))
    _, printed = read_bin(folder / "o.vel_0.bin", STEPS + 1)
    for step, frame in frames.items():
        np.testing.assert_allclose(frame.velocities, printed[step] * UNIT, atol=1e-12)


@pytest.mark.parametrize(
    "consolidate", ["True", pytest.param("False", marks=pytest.mark.slow)]
)
def test_clients_that_are_killed_in_any_state_cost_no_step(
    ipi_program: str, short_directory: Path, consolidate: str
) -> None:
    """SIGKILL, with the rest of the request read ahead and unread; many in a row."""
    process = run_ipi(ipi_program, short_directory, consolidate=consolidate)
    deaths = [f"read:{n}" for n in (*BORDERS[consolidate], 5, MIDDLE)]
    deaths += ["half", "answered", "half@5"]
    if consolidate == "True":  # else i-PI itself turns for ever: docs/operation.md
        deaths += ["unanswered", "unanswered@5"]
    kill_clients(short_directory, *deaths)
    assert process.poll() is None
    source = client(short_directory, folder=short_directory / "run")
    collected = Collected()
    collect(source, collected)
    finish(process)
    source.close()
    check_all_steps(short_directory, collected)


@pytest.mark.slow
def test_without_its_keeper_such_a_client_would_hang_ipi_for_ever(
    ipi_program: str, short_directory: Path
) -> None:
    """What the test above would see: i-PI 3.3 asks nobody any more."""
    process = run_ipi(ipi_program, short_directory)
    kill_clients(short_directory, f"bare-read:{BORDERS['True'][-1]}@3")
    source = client(short_directory)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        assert source.receive() == []
        time.sleep(0.05)
    assert process.poll() is None
    source.close()
    process.kill()
    log, _ = process.communicate(timeout=TIMEOUT)
    assert "ConnectionResetError" in log


class Late:
    """Makes a client late with one reply, in one of two ways.

    Attributes:
        seconds: how late.
    """

    def __init__(self, source: IpiClient, seconds: float) -> None:
        self.source, self.seconds = source, seconds
        assert source._series._spool is not None
        self._append, self._read = (
            source._series._spool.append,
            source._conversation._line.read,
        )
        self._until: float | None = None

    def asleep(self) -> None:
        """Stopped when the positions have come, as by SIGSTOP.

        Not before: a request that i-PI has not yet given out has no time to run over.
        """
        self.source._conversation._line.read = self._read_late  # type: ignore[method-assign]

    def full(self) -> None:
        """Its disk takes nothing for a while."""
        assert self.source._series._spool is not None
        self.source._series._spool.append = self._append_late  # type: ignore[method-assign]

    def _read_late(self, *, under_way: bool) -> bytes | None:
        data = self._read(under_way=under_way)
        if self._until is None and (data or b"").startswith(b"POSDATA"):
            self._until = time.monotonic() + self.seconds
            time.sleep(self.seconds)
        return data

    def _append_late(self, configuration: Configuration) -> None:
        if self._until is None:
            self._until = time.monotonic() + self.seconds
        if time.monotonic() < self._until:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._append(configuration)


@pytest.mark.parametrize(
    ("how", "timeout"),
    [
        ("asleep", 1.0),
        pytest.param("full", 1.0, marks=pytest.mark.slow),
        pytest.param("full", 0.0, marks=pytest.mark.slow),
    ],
    ids=["asleep", "a full disk", "a full disk, without a timeout"],
)
def test_a_client_that_is_late_is_asked_the_same_again(
    ipi_program: str, short_directory: Path, how: str, timeout: float
) -> None:
    """Beyond its <timeout> i-PI says EXIT and closes: the end of nothing else."""
    text = ipi_input(OUTPUTS, steps=STEPS).replace(
        "<latency>", f"<timeout>{timeout}</timeout><latency>"
    )
    process = start_ipi(ipi_program, short_directory, text, init_xyz("False"))
    source = client(short_directory, folder=short_directory / "run")
    collected = Collected()
    collect(source, collected, n_frames=10)
    getattr(Late(source, 2.5), how)()
    begin = time.monotonic()
    collect(source, collected)
    assert time.monotonic() - begin > 2.5
    log = finish(process)
    source.close()
    assert ("Timeout! request has been running" in log) == (timeout > 0)
    assert len(collected.ended) == 1
    check_all_steps(short_directory, collected)


def test_a_second_client_that_waits_takes_over_at_the_frame_of_the_first(
    ipi_program: str, short_directory: Path
) -> None:
    """Two at one socket, each with a folder: put together, each frame was seen once.

    The second is connected all the time and hears nothing until then.
    """
    process = run_ipi(ipi_program, short_directory)
    command = [sys.executable, dying_clients.__file__, str(short_directory)]
    killer = subprocess.Popen([*command, "unanswered@15"])
    asked = short_directory / "run" / "ipi.positions"
    while not (asked.exists() and asked.stat().st_size):
        assert killer.poll() is None
        time.sleep(0.01)
    source = client(short_directory, folder=short_directory / "second")
    collected = Collected()
    collect(source, collected)
    assert killer.wait(TIMEOUT) == 0
    finish(process)
    source.close()
    first, second = (
        [each.positions for each in Spool(folder / "ipi.positions", 9).kept]
        for folder in (short_directory / "run", short_directory / "second")
    )
    _, printed = read_bin(short_directory / "o.pos_0.bin", STEPS + 1)
    whole = [each.tobytes() for each in printed]
    assert len(first) == 15
    assert first == whole[:15]
    # The first had not answered: the second was asked for the same, to the bit.
    assert second == whole[14:]
    assert [each.frame.step for each in collected.frames] == list(range(1, STEPS - 14))


def test_a_client_without_ipi_does_not_keep_the_processor_busy(
    ipi_program: str, short_directory: Path
) -> None:
    """After EOF; i-PI's own driver turns for ever."""
    process = run_ipi(ipi_program, short_directory)
    source = client(short_directory, folder=short_directory / "run")
    collect(source, Collected(), n_frames=10)
    process.kill()
    process.communicate(timeout=TIMEOUT)
    source.receive()
    begin, end = time.thread_time(), time.monotonic() + 2.0
    n_turns = 0
    while time.monotonic() < end:
        poller = zmq.Poller()
        poller.register(source.pollable, zmq.POLLIN)
        poller.poll(50)
        assert source.receive() == []
        n_turns += 1
    assert time.thread_time() - begin < 0.2
    assert n_turns <= 41
    source.close()
