"""IMD in pieces of any size, in both byte orders, and what LAMMPS does not show."""

import socket
import struct
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimyria.errors import FormatError, FrameError, ProtocolError, SettingsError
from mimyria.frame import Frame
from mimyria_driver.imd.line import parse_address
from mimyria_driver.imd.protocol import Connection, ImdFrame, Left, SessionInfo
from mimyria_driver.imd.source import ImdSource
from mimyria_driver.kinematics import check_motion
from mimyria_driver.sources import Arrived, Ended, Started

CELL = np.array([[9.0, 0.0, 0.0], [1.5, 8.5, 0.0], [-0.75, 1.0, 8.0]])


def header(kind, value):
    return struct.pack(">ii", kind, value)


def hello(order="<", version=3, flags=(1, 1, 1, 1, 0, 1, 1)):
    """A server's greeting: everything is sent, energies and forces as well."""
    greeting = struct.pack(">i", 4) + struct.pack(f"{order}i", version)
    return greeting + header(10, 7) + bytes(flags)


def frame_bytes(order, step, positions, velocities):
    def vectors(array):
        return np.asarray(array, f"{order}f4").tobytes()

    n = len(positions)
    return b"".join(
        (
            header(12, 1) + struct.pack(f"{order}ddq", 0.5, 0.5 * step, step),
            header(1, 1) + struct.pack(f"{order}i9f", step, *range(9)),
            header(13, 1) + vectors(CELL),
            header(2, n) + vectors(positions),
            header(14, n) + vectors(velocities),
            header(15, n) + vectors(np.full((n, 3), 7.0)),
        )
    )


@given(
    order=st.sampled_from("<>"),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=30),
)
def test_frames_are_the_same_in_pieces_of_any_size(order, cuts):
    positions = np.arange(9.0).reshape(3, 3)
    data = hello(order) + b"".join(
        frame_bytes(order, step, positions + step, -positions) for step in (4, 8)
    )
    data += header(0, 0)
    connection, heard, at, n = Connection(3), [], 0, 0
    while at < len(data):
        size = cuts[n % len(cuts)]
        heard += connection.receive(data[at : at + size])
        at, n = at + size, n + 1
    info, first, second, left = heard
    assert isinstance(info, SessionInfo)
    assert isinstance(left, Left)
    assert connection.is_between_frames
    for step, frame in ((4, first), (8, second)):
        assert isinstance(frame, ImdFrame)
        assert (frame.step, frame.time) == (step, 0.5 * step)
        np.testing.assert_array_equal(frame.positions, positions + step)
        np.testing.assert_array_equal(frame.velocities, -positions)
        np.testing.assert_array_equal(frame.cell, CELL)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (b"HTTP/1.1 400 Bad", ProtocolError, "what answers is no server of IMD"),
        (hello(version=2), FormatError, "IMD version 2, which has no velocities"),
        (
            hello(flags=(0, 0, 0, 1, 0, 1, 0)),
            FormatError,
            "sends no time and no box by IMD",
        ),
        (hello() + header(2, 3), ProtocolError, "must send TIME by IMD now"),
        (hello() + header(12, 2), ProtocolError, "message TIME of IMD has the length"),
        (
            hello(flags=(1, 0, 1, 1, 0, 1, 0))
            + header(12, 1)
            + bytes(24)
            + header(13, 1)
            + bytes(36)
            + header(2, 1 << 30),
            FrameError,
            "sends 1073741824 atoms, but the settings name 3",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(data, error, text):
    with pytest.raises(error, match=text):
        list(Connection(3).receive(data))


def test_an_engine_that_is_cut_off_within_a_frame_is_not_between_frames():
    connection = Connection(3)
    list(connection.receive(hello() + header(12, 1) + bytes(24)))
    assert not connection.is_between_frames


@pytest.mark.parametrize("text", ["8888", "host:", ":8888", "host:0", "host:70000"])
def test_an_address_without_host_or_port_is_refused(text):
    with pytest.raises(SettingsError, match=r"source.address must be HOST:PORT"):
        parse_address(text)


def swinging(time, unit=1.0):
    """Vibrations up to 3700 cm^-1 through the border of a skewed cell."""
    rng = np.random.default_rng(3)
    base, phase = rng.uniform(0, 9, (60, 3)), rng.uniform(0, 6, (60, 3))
    omega = rng.choice([0.05, 0.13, 0.31, 0.697], (60, 3))
    positions = base + 0.02 / omega * np.sin(omega * time + phase)
    inside = positions @ np.linalg.inv(CELL)
    velocities = 0.02 * np.cos(omega * time + phase) * unit
    numbers = np.ones(60, dtype=np.int64)
    wrapped = (inside - np.floor(inside)) @ CELL
    return Frame(numbers, wrapped, CELL, velocities, round(time))


@pytest.mark.parametrize("interval", [0.5, 2.0, 4.0])
def test_velocities_of_fast_vibrations_fit_their_motion(interval):
    for start in range(0, 200, 7):
        check_motion(swinging(start), swinging(start + interval), interval)


@pytest.mark.parametrize("unit", [1e-3, 0.1, 10.0, 1e3, -1.0, 0.0])
def test_velocities_in_another_unit_do_not_fit(unit):
    with pytest.raises(FrameError, match="times as far as their velocities say"):
        check_motion(swinging(0.0, unit), swinging(2.0, unit), 2.0)


class Server:
    """An engine that sends what it is told, as GROMACS would: ps and Å/ps."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.source = ImdSource(
            f"127.0.0.1:{self.listener.getsockname()[1]}",
            np.ones(60, dtype=np.int64),
            np.ones(60),
            0.5,
            4,
            "gromacs",
        )

    def send(self, data):
        """Let the source in, answer it, and leave."""
        self.source.receive()
        deadline = time.monotonic() + 10.0
        self.listener.settimeout(0.05)
        while True:
            try:
                connection, _ = self.listener.accept()
                break
            except TimeoutError:
                assert time.monotonic() < deadline
                self.source.receive()
        with connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return self.take()

    def take(self):
        """Everything until the source has nothing more to say."""
        events, quiet = [], 0
        while quiet < 20:
            found = self.source.receive()
            quiet = 0 if found else quiet + 1
            if any(isinstance(each, Started) for each in found):
                self.source.accept(-1)
            events += found
            if any(isinstance(each, Ended) for each in events):
                break
            time.sleep(0.002)
        return events


@pytest.fixture
def server():
    server = Server()
    yield server
    server.source.close()
    server.listener.close()


def in_picoseconds(step, cell=CELL):
    frame = swinging(0.5 * step, 1e3)

    def vectors(array):
        return np.asarray(array, ">f4").tobytes()

    return b"".join(
        (
            header(12, 1) + struct.pack(">ddq", 5e-4, 5e-4 * step, step),
            header(13, 1) + vectors(cell),
            header(2, 60) + vectors(frame.positions),
            header(14, 60) + vectors(frame.velocities),
        )
    )


GROMACS = hello(">", flags=(1, 0, 1, 1, 1, 1, 0))


def test_picoseconds_become_femtoseconds(server):
    started, first, second, ended = server.send(
        GROMACS + in_picoseconds(4) + in_picoseconds(8)
    )
    assert started.description.engine == "GROMACS by IMD"
    assert isinstance(ended, Ended)
    assert (first.frame.step, second.previous_step) == (4, 4)
    wanted = swinging(4.0)
    np.testing.assert_allclose(second.frame.velocities, wanted.velocities, rtol=1e-6)
    np.testing.assert_allclose(second.frame.positions, wanted.positions, atol=1e-6)


def test_an_engine_that_dies_within_a_frame_is_waited_for(server, caplog):
    data = GROMACS + b"".join(in_picoseconds(step) for step in (4, 8, 12))
    events = server.send(data[:-100])
    assert [each.frame.step for each in events[1:]] == [4, 8]
    assert "it closed the connection within a frame" in caplog.text
    again = server.send(GROMACS + in_picoseconds(16) + in_picoseconds(20))
    assert isinstance(again[0], Started)
    assert [each.previous_step for each in again if isinstance(each, Arrived)] == [
        -1,
        16,
    ]


def test_no_frame_behind_a_bad_one_is_given(server, monkeypatch):
    """Nor those that come while the engine is told to pause."""
    given, receive = [], server.source.receive

    def watched():
        found = receive()
        given.extend(found)
        return found

    monkeypatch.setattr(server.source, "receive", watched)
    frames = {step: in_picoseconds(step) for step in range(4, 401, 4)}
    late = struct.pack(">ddq", 5e-4, 9.0, 84)
    frames[84] = frames[84].replace(struct.pack(">ddq", 5e-4, 5e-4 * 84, 84), late)
    with pytest.raises(FrameError):
        server.send(GROMACS + b"".join(frames.values()))
    steps = [each.frame.step for each in given if isinstance(each, Arrived)]
    assert steps == list(range(4, 84, 4))


def test_a_run_of_a_single_frame_is_one(server):
    started, only, ended = server.send(GROMACS + in_picoseconds(4))
    assert isinstance(started, Started)
    assert (only.frame.step, only.previous_step) == (4, -1)
    assert isinstance(ended, Ended)


def test_a_missing_step_is_told_to_whoever_places_frames(server):
    steps = (4, 8, 16)
    events = server.send(GROMACS + b"".join(map(in_picoseconds, steps)))
    assert [each.previous_step for each in events[1:-1]] == [-1, 4, 8]


def test_a_box_without_volume_is_left_to_the_check_of_every_frame(server):
    flat = np.zeros((3, 3))
    events = server.send(GROMACS + in_picoseconds(4, flat) + in_picoseconds(8, flat))
    assert isinstance(events[1], Arrived)
    assert events[1].frame.volume == 0
