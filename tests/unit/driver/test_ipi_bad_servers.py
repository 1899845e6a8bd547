"""Ends, silences and byte orders that a real i-PI cannot be made to show on demand."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ipiserver import H, Server, header

from mimyria.errors import FrameError
from mimyria_driver.ipi import line
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.protocol import Connection, IpiProtocolError, Positions
from mimyria_driver.ipi.units import in_angstrom
from mimyria_driver.sources import Arrived, Ended, Event, Started
from mimyria_driver.velocities import CentralDifference, Sample

START = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
DRIFT = np.array([[0.01, 0.0, -0.02], [0.0, 0.03, 0.0]])
LINGER_NONE = struct.pack("ii", 1, 0)


@pytest.fixture
def client(folder: Path) -> Iterator[IpiClient]:
    made = new_client(f"unix:{folder}/driver", folder)
    yield made
    made.close()


def new_client(address: str, folder: Path, n_atoms: int = 2) -> IpiClient:
    ticks = iter(range(0, 10**7, 10))  # every look at the clock is 10 s later
    return IpiClient(
        address,
        np.ones(n_atoms, dtype=int),
        np.ones(n_atoms),
        0.5,
        1,
        folder=folder / "run",
        clock=lambda: next(ticks),
    )


def conversation(
    step: int, *, order: str = "=", positions: np.ndarray = START
) -> bytes:
    """What i-PI says in one consolidated request, in a byte order."""
    where = (positions + step * DRIFT if positions is START else positions).astype(
        f"{order}f8"
    )
    cells = np.array([H, np.linalg.inv(H)]).astype(f"{order}f8")
    return b"".join(
        (
            header("STATUS"),
            header("INIT") + struct.pack(f"{order}ii", 3, 1) + b" ",
            header("STATUS"),
            header("POSDATA") + cells.tobytes(),
            struct.pack(f"{order}i", len(where)) + where.tobytes(),
            header("GETFORCE"),
        )
    )


class Peer:
    """A server whose connections end after so many bytes."""

    def __init__(self, folder: Path, family: int) -> None:
        self.listener = socket.socket(family)
        tcp = family == socket.AF_INET
        self.listener.bind(("127.0.0.1", 0) if tcp else str(folder / "driver"))
        self.listener.listen(1)
        self.listener.settimeout(5.0)
        name = self.listener.getsockname()
        self.address = f"127.0.0.1:{name[1]}" if tcp else f"unix:{name}"

    def say(self, client: IpiClient, data: bytes, *, reset: bool) -> list[Event]:
        """Say this on a new connection, and be gone; what the client makes of it."""
        events = client.receive()
        peer, _ = self.listener.accept()
        if reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        peer.sendall(data)
        if not reset:
            peer.shutdown(socket.SHUT_WR)
        events += taken(client)
        peer.close()
        return events + taken(client)

    def serve(self, client: IpiClient, step: int) -> list[Event]:
        """One whole request and its reply."""
        events = client.receive()
        peer, _ = self.listener.accept()
        peer.sendall(conversation(step))
        events += taken(client)
        heard = b""
        peer.settimeout(5.0)
        while b'"rid": 3}' not in heard:
            piece = peer.recv(4096)
            assert piece
            heard += piece
        peer.close()
        return events + taken(client)


def taken(client: IpiClient) -> list[Event]:
    """Everything that there is; a stream that begins is accepted."""
    events: list[Event] = []
    for _ in range(3):
        for event in client.receive():
            events.append(event)
            if isinstance(event, Started):
                client.accept(-1)
    return events


def counted(events: list[Event]) -> list[tuple[int, int]]:
    return [
        (each.frame.step, each.previous_step)
        for each in events
        if isinstance(each, Arrived)
    ]


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET])
@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
def test_a_connection_that_ends_after_any_byte_costs_no_frame(
    folder: Path, family: int, reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none counts twice: the frames are those of a line that never broke."""
    monkeypatch.setattr(line, "guard", lambda _: None)  # whose business this is not
    monkeypatch.setattr(line, "_REST_TIMEOUT", 1e-3)
    peer = Peer(folder, family)
    client = new_client(peer.address, folder)
    whole = len(conversation(0))
    every = 1 if family == socket.AF_UNIX and not reset else 7
    cuts = sorted({*range(0, whole, every), *range(whole - 20, whole + 1)})
    events: list[Event] = []
    for step, cut in enumerate(cuts):
        events += peer.say(client, conversation(step)[:cut], reset=reset)
        events += peer.serve(client, step)
    client.close()
    peer.listener.close()
    assert sum(isinstance(each, Started) for each in events) == 1
    last = len(cuts) - 2
    assert counted(events) == [(1, -1), *((n, n - 1) for n in range(2, last + 1))]
    drift = DRIFT * 0.529177210544 / 0.5
    for each in events:
        if isinstance(each, Arrived):
            np.testing.assert_allclose(each.frame.velocities, drift, atol=1e-8)


def begun(server: Server, client: IpiClient) -> None:
    """Three requests that were answered."""
    server.accept(client)
    assert server.peer is not None
    for step in range(3):
        server.peer.sendall(conversation(step))
        taken(client)
        server.hear(24)
        assert server.hear(12) == header("FORCEREADY")
        server.hear_rest()


def test_exit_in_place_of_getforce_is_no_end_where_ipi_is_still_there(
    server: Server, client: IpiClient
) -> None:
    """As after a <timeout>: the request is sent again, and counts once."""
    begun(server, client)
    whole = conversation(3)
    events = server.say(client, whole[:-12] + header("EXIT"))
    events += taken(client)
    server.accept(client)
    assert server.peer is not None
    server.peer.sendall(whole)
    events += taken(client)
    server.hear(24 + 12)
    server.hear_rest()
    server.peer.sendall(conversation(4))
    events += taken(client)
    assert counted(events) == [(2, 1), (3, 2)]
    assert not any(isinstance(each, Ended) for each in events)


@pytest.mark.parametrize("begin", [0, -12])
def test_exit_is_the_end_where_ipi_is_gone(
    server: Server, client: IpiClient, begin: int
) -> None:
    begun(server, client)
    server.listener.close()
    events = server.say(client, conversation(3)[:begin] + header("EXIT"))
    events += taken(client)
    assert events[-1] == Ended("i-PI has ended")
    # What was not answered is kept, so that nothing has to be sent again.
    assert counted(events) == ([(2, 1)] if begin else [])


def test_a_server_that_closes_before_the_reply_is_looked_for_again(
    server: Server, client: IpiClient, caplog: pytest.LogCaptureFixture
) -> None:
    begun(server, client)
    assert server.peer is not None
    server.peer.sendall(conversation(3))
    server.drop()
    events = taken(client)
    assert "lost i-PI: [Errno 32] Broken pipe" in caplog.text
    server.accept(client)
    events += server.say(client, conversation(3))
    events += server.say(client, conversation(4))
    assert counted(events) == [(2, 1), (3, 2)]


def test_a_server_that_is_silent_for_minutes_is_waited_for_without_work(
    server: Server, client: IpiClient
) -> None:
    """In the backlog first, where i-PI leaves a client until it has a request."""
    client.receive()
    mine = client.pollable
    begin = time.process_time()
    for _ in range(1000):  # by the clock of the client more than an hour each
        assert client.receive() == []
        assert client.pollable is mine
    assert time.process_time() - begin < 1.0
    server.peer, _ = server.listener.accept()
    server.peer.settimeout(5.0)
    for _ in range(100):
        assert client.receive() == []
    (event,) = server.say(client, conversation(0))
    assert isinstance(event, Started)
    assert client.pollable is mine


def test_atoms_that_become_more_within_a_run_end_it_behind_the_good_frames(
    server: Server, client: IpiClient
) -> None:
    begun(server, client)
    assert counted(server.say(client, conversation(3))) == [(2, 1)]
    more = np.zeros((5, 3))
    with pytest.raises(FrameError, match="sends 5 atoms, but the settings name 2"):
        server.say(client, conversation(4, positions=more))


def swapped(n_atoms: int, init: bytes = b"") -> bytes:
    """A request of a machine of the other byte order."""
    said = conversation(0, order=">", positions=np.ones((n_atoms, 3)))
    return said.replace(
        struct.pack(">ii", 3, 1) + b" ", struct.pack(">ii", 3, len(init)) + init
    )


@pytest.mark.parametrize(
    ("init", "text"),
    [
        (b" ", r"INIT string of 16777216 bytes\. Read backwards that is 1: do both"),
        (b"", r"announced 33554432 atoms\. Read backwards that is 2: do both machines"),
    ],
)
def test_another_byte_order_is_named(init: bytes, text: str) -> None:
    """Nothing in the protocol says it; but few lengths make sense the wrong way."""
    with pytest.raises(IpiProtocolError, match=text):
        Connection().receive(swapped(2, init))


@pytest.mark.parametrize("n_atoms", [65_536, 65_792])
def test_numbers_in_another_byte_order_never_become_a_frame(n_atoms: int) -> None:
    """65 536 atoms become 256, 65 792 are the same number both ways."""
    connection = Connection(b"{}")
    if n_atoms == 65_536:
        with pytest.raises(IpiProtocolError, match="while the client is"):
            connection.receive(swapped(n_atoms))
        return
    _, found = connection.receive(swapped(n_atoms))
    assert isinstance(found, Positions)
    assert found.n_atoms == n_atoms
    difference = CentralDifference(0.5)
    for step in range(3):
        here = in_angstrom(found.positions, found.cell)
        difference.push(Sample(step, *here))
    with pytest.raises(FrameError, match="has no volume"):
        difference.velocities()
