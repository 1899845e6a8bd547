"""The i-PI client against a server made of a bare socket."""

from __future__ import annotations

import logging
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ipiserver import H, Server, header

from mimyria.errors import EngineError, SettingsError
from mimyria.units import ANGSTROM_PER_IPI_BOHR
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.sources import Arrived, Ended, Started

START = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
DRIFT = np.array([[0.01, 0.0, -0.02], [0.0, 0.03, 0.0]])


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        yield Path(name) / "driver"


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    made = Server(path)
    yield made
    made.close()


@pytest.fixture
def client(path: Path) -> Iterator[IpiClient]:
    ticks = iter(range(0, 10**6, 10))  # every look at the clock is 10 s later
    made = IpiClient(
        f"unix:{path}",
        np.array([8, 1]),
        np.array([16.0, 1.0]),
        0.5,
        2,
        clock=lambda: next(ticks),
    )
    yield made
    made.close()


def run(server: Server, client: IpiClient, steps: range) -> list[tuple[int, int]]:
    """Steps and previous steps of the frames that come of these requests."""
    found = []
    for step in steps:
        for event in server.request(client, START + step * DRIFT):
            assert isinstance(event, Arrived)
            found.append((event.frame.step, event.previous_step))
    return found


def test_frames_come_one_step_late_with_rows_as_lattice_vectors(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    (event,) = server.request(client, START)
    assert isinstance(event, Started)
    assert event.description.interval == 1.0
    client.accept(-1)
    assert run(server, client, range(1, 3)) == []
    (event,) = server.request(client, START + 3 * DRIFT)
    assert isinstance(event, Arrived)
    assert (event.frame.step, event.previous_step) == (2, -1)
    unit = ANGSTROM_PER_IPI_BOHR
    np.testing.assert_allclose(event.frame.cell, H.T * unit, rtol=1e-15)
    np.testing.assert_allclose(event.frame.positions, (START + 2 * DRIFT) * unit)
    np.testing.assert_allclose(event.frame.velocities, DRIFT * unit / 0.5, atol=1e-12)
    assert run(server, client, range(4, 8)) == [(4, 2), (6, 4)]


def test_a_frame_that_ipi_sends_again_after_a_lost_connection_goes_on(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    server.request(client, START)
    client.accept(-1)
    assert run(server, client, range(1, 4)) == [(2, -1)]
    server.drop()
    client.receive()
    server.accept(client)
    assert server.request(client, START + 3 * DRIFT) == []
    assert run(server, client, range(4, 6)) == [(4, 2)]


def test_another_frame_after_a_lost_connection_begins_anew_with_a_gap(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    server.request(client, START)
    client.accept(-1)
    run(server, client, range(1, 4))
    server.drop()
    client.receive()
    server.accept(client)
    (event,) = server.request(client, START + 9 * DRIFT)
    assert isinstance(event, Started)
    client.accept(2)
    # Step 3 was the last one seen; two strides from 2 on is 6.
    assert run(server, client, range(10, 14)) == [(8, -1)]


def test_an_unanswered_start_stops_the_reading(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    server.request(client, START)
    assert server.say(client, header("STATUS")) == []
    client.accept(-1)
    assert client.receive() == []
    assert server.hear(12) == header("NEEDINIT")
    with pytest.raises(EngineError, match="no engine that waits"):
        client.accept(-1)


def test_foreign_beads_are_answered_but_not_counted(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    server.request(client, START, rid=3)
    client.accept(-1)
    for step in range(1, 4):
        assert server.request(client, START, rid=5) == []
        server.request(client, START + step * DRIFT, rid=3)
    assert client.n_foreign == 3


def test_exit_ends_the_run(server: Server, client: IpiClient) -> None:
    server.accept(client)
    server.listener.close()
    events = server.say(client, header("EXIT"))
    assert [*events, *client.receive()] == [Ended("i-PI has ended")]


def test_a_server_that_talks_nonsense_is_left_and_tried_again(
    server: Server, client: IpiClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.accept(client)
    with caplog.at_level(logging.ERROR):
        assert server.say(client, b"HTTP/1.1 400 Bad Request\r\n") == []
    assert "while the client is NEEDINIT" in caplog.text
    server.accept(client)
    (event,) = server.request(client, START)
    assert isinstance(event, Started)


def test_a_time_step_that_is_no_number_is_refused(
    server: Server, client: IpiClient
) -> None:
    server.accept(client)
    init = struct.pack("=ii", 0, 12) + b"dt_fs : half"
    server.say(client, header("STATUS"))
    with pytest.raises(SettingsError, match="but 'half' in the dt_fs"):
        server.say(client, header("INIT") + init)


def test_without_ipi_there_is_something_to_poll_and_nothing_to_read(
    client: IpiClient,
) -> None:
    assert client.receive() == []
    assert isinstance(client.pollable, socket.socket)
    assert client.pollable.fileno() >= 0


@pytest.mark.parametrize(
    "settings", [{"time_step": 0.0}, {"stride": 0}, {"masses": np.ones(3)}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    good: dict[str, object] = {
        "address": "unix:x",
        "numbers": np.array([8, 1]),
        "masses": np.ones(2),
        "time_step": 0.5,
        "stride": 1,
    }
    with pytest.raises(SettingsError, match="i-PI needs a time step above zero"):
        IpiClient(**{**good, **settings})  # type: ignore[arg-type]
