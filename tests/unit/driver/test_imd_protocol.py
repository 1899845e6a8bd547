"""IMD in pieces of any size, in both byte orders, and what is no IMD."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimyria.errors import FormatError, FrameError, ProtocolError, SettingsError
from mimyria.frame import Frame
from mimyria_driver.imd.line import parse_address
from mimyria_driver.imd.protocol import Connection, ImdFrame, Left, SessionInfo
from mimyria_driver.kinematics import check_motion

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
    with pytest.raises(FrameError, match=r"another unit than source\.units says"):
        check_motion(swinging(0.0, unit), swinging(2.0, unit), 2.0)
