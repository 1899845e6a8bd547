"""The client that drives i-PI, against a server made of a bare socket."""

import json
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mimyria.errors import EngineError, EvaluatorError, SettingsError
from mimyria.tensors import Tensors
from mimyria_driver.driven.answers import Answers
from mimyria_driver.driven.client import DrivenClient
from mimyria_driver.driven.way import Way

NUMBERS = np.array([8, 1])
CELL = np.diag([20.0, 21.0, 22.0])
POSITIONS = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
ZEROS = b"FORCEREADY  " + bytes(8) + struct.pack("=i", 2) + bytes(48 + 72)


class Source:
    """P grows with the first coordinate; `fails` makes it stop."""

    fails = False

    def predict(self, frames):
        if self.fails:
            raise RuntimeError("planted")
        (frame,) = frames
        return [Tensors(np.multiply.outer(frame.positions[:, 0], np.eye(3)))]


class Server:
    """i-PI's side; the client runs in a thread."""

    def __init__(self, folder):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "bec"))
        self.listener.listen(1)
        self.listener.settimeout(10.0)

    def accept(self):
        self.peer, _ = self.listener.accept()
        self.peer.settimeout(10.0)

    def say(self, *parts):
        self.peer.sendall(
            b"".join(p if isinstance(p, bytes) else p.encode().ljust(12) for p in parts)
        )

    def hear(self, n_bytes):
        heard = b""
        while len(heard) < n_bytes:
            piece = self.peer.recv(n_bytes - len(heard))
            if not piece:
                return heard
            heard += piece
        return heard

    def prepare(self, parameters=" "):
        self.say("STATUS")
        assert self.hear(12) == b"NEEDINIT    "
        text = parameters.encode()
        self.say("INIT", struct.pack("=ii", 3, len(text)), text, "STATUS")
        return self.hear(12)

    def ask(self, shift=0.0, legacy=False, across=0.0):
        assert self.prepare() == b"READY       "
        cells = CELL.tobytes() + np.linalg.inv(CELL).tobytes()
        moved = POSITIONS + np.array([[shift, across, 0.0], [0.0, 0.0, 0.0]])
        self.say("POSDATA", cells, struct.pack("=i", 2), moved.tobytes())
        if legacy:
            self.say("STATUS")
            assert self.hear(12) == b"HAVEDATA    "
        self.say("GETFORCE")

    def extras(self):
        assert self.hear(len(ZEROS)) == ZEROS
        (length,) = struct.unpack("=i", self.hear(4))
        return json.loads(self.hear(length))

    def end(self):
        """As i-PI ends: a word, and nobody listens any more."""
        self.say("EXIT")
        self.close()

    def close(self):
        self.peer.close()
        self.listener.close()


@pytest.fixture
def server(folder):
    made = Server(folder)
    yield made
    made.close()


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def serving(folder, source, server):
    """The client in its thread, until the test is over."""
    over = []
    answers = Answers(source, NUMBERS, ("BEC",))
    client = DrivenClient(f"unix:{folder}/bec", answers, max_atoms=100)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.serve, lambda: bool(over))
        server.accept()
        yield future
        over.append(True)


def first_charge(said):
    return said["BEC"][0][0]


@pytest.mark.parametrize("legacy", [False, True])
def test_each_reply_is_about_its_own_configuration(serving, server, legacy):
    charges = []
    for shift in (0.0, 1.0, -2.0):
        server.ask(shift, legacy)
        charges.append(first_charge(server.extras()))
    server.end()
    assert serving.result(10.0) is True
    assert np.diff(charges) == pytest.approx(
        [0.5 * 0.529177, -1.5 * 0.529177], rel=1e-5
    )


def test_a_lost_ipi_is_looked_for_until_it_is_there_again(serving, server):
    server.ask()
    before = server.extras()
    server.peer.close()
    server.accept()
    server.ask()
    assert server.extras() == before
    server.end()
    assert serving.result(10.0) is True


def test_an_ipi_that_comes_back_at_an_earlier_step_gets_the_dipole_of_that_step(
    folder, source, server
):
    over = []
    way = Way(folder / "way", 2, np.zeros(3))
    answers = Answers(source, NUMBERS, ("dipole",), way)
    client = DrivenClient(f"unix:{folder}/bec", answers, max_atoms=100)
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(client.serve, lambda: bool(over))
        server.accept()
        try:
            dipoles = []
            # On a closed way this source gains something.
            for shift, across in ((0.0, 0.0), (0.4, 0.0), (0.4, 0.4), (0.0, 0.4)):
                server.ask(shift, across=across)
                dipoles.append(server.extras()["dipole"])
            server.peer.close()
            server.accept()
            server.ask()
            assert server.extras()["dipole"] == dipoles[0] == [0.0, 0.0, 0.0]
            server.ask(across=0.4)  # the other way round
            assert abs(server.extras()["dipole"][1] - dipoles[-1][1]) > 0.01
        finally:
            over.append(True)
    way.close()
    assert serving.result() is False


def test_what_is_no_protocol_of_ipi_is_left_and_tried_again(serving, server):
    server.say("NONSENSE")
    assert server.hear(1) == b""  # the client has gone
    server.peer.close()
    server.accept()
    server.ask()
    assert "BEC" in server.extras()
    server.end()
    assert serving.result(10.0) is True


def test_a_model_that_stops_closes_the_line_without_a_single_byte(
    serving, server, source
):
    server.ask()
    server.extras()
    source.fails = True
    server.ask()
    assert server.hear(1) == b""
    with pytest.raises(EvaluatorError, match="RuntimeError: planted"):
        serving.result(10.0)


def test_batches_are_refused_before_their_positions_come(serving, server):
    assert server.prepare(" , batch_size:4") == b""
    with pytest.raises(SettingsError, match="sends 4 configurations at once"):
        serving.result(10.0)


def test_a_wish_to_stop_is_heard_while_ipi_is_silent(folder, source):
    client = DrivenClient(
        f"unix:{folder}/bec", Answers(source, NUMBERS, ("BEC",)), max_atoms=100
    )
    looks = iter(range(5))
    assert client.serve(lambda: next(looks) == 4) is False


def test_patience_ends_while_nobody_asks(folder, source):
    ticks = iter(range(0, 10**6, 10))  # every look at the clock is 10 s later
    client = DrivenClient(
        f"unix:{folder}/bec",
        Answers(source, NUMBERS, ("BEC",)),
        max_atoms=100,
        patience=60.0,
        clock=lambda: next(ticks),
    )
    with pytest.raises(EngineError, match=r"Nothing came from i-PI for \d+ s"):
        client.serve(lambda: False)
