"""All beads of a ring polymer over i-PI's socket: any order, kills, steps back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipiserver import H, Server

from mimyria.errors import FrameError, SettingsError
from mimyria.units import ANGSTROM_PER_IPI_BOHR
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.spool import Configuration
from mimyria_driver.sources import Arrived, Started

N_BEADS = 4
BASE = 7
TEXT = f" dt_fs : 0.5 , nbeads : {N_BEADS} , "
DT = 0.5


def positions(step: int, bead: int, branch: float = 0.0) -> np.ndarray:
    """Two atoms that swing, with no common period; all beads begin at one place."""
    phase = np.array([[0.11, 0.23, 0.31], [0.07, 0.17, 0.29]]) * step
    swing = 0.1 * np.sin(phase * (1 + 0.13 * bead))
    return np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]) + swing + branch


Content = tuple[bytes, bytes, bytes, bytes]


def new_client(
    folder: Path, n_beads: int = N_BEADS, *, memory: bool = True
) -> IpiClient:
    ticks = iter(range(0, 10**6, 10))
    return IpiClient(
        f"unix:{folder}/driver",
        np.array([8, 1]),
        np.array([16.0, 1.0]),
        DT,
        2,
        n_beads=n_beads,
        folder=folder / "run" if memory else None,
        clock=lambda: next(ticks),
    )


@pytest.fixture(scope="module", autouse=True)
def _everything_is_there_at_once() -> Iterator[None]:
    """What i-PI says is in the socket before the client looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mimyria_driver.ipi.line._REST_TIMEOUT", 0.0)
        yield


def ask(
    server: Server, client: IpiClient, step: int, bead: int, branch: float = 0.0
) -> list:
    """One request, answered, as i-PI makes it; the events of the client."""
    events = server.say(client, b"STATUS".ljust(12))
    assert server.hear(12) == b"NEEDINIT".ljust(12)
    init = np.array([BASE + bead, len(TEXT)], "<i4").tobytes() + TEXT.encode()
    events += server.say(client, b"INIT".ljust(12) + init + b"STATUS".ljust(12))
    assert server.hear(12) == b"READY".ljust(12)
    body = H.tobytes() + bytes(72) + np.array([2], "<i4").tobytes()
    body += positions(step, bead, branch).tobytes()
    events += server.say(client, b"POSDATA".ljust(12) + body + b"GETFORCE".ljust(12))
    for event in events:
        if isinstance(event, Started):
            assert event.description.n_beads == N_BEADS
            client.accept(-1)
    assert server.hear(12) == b"FORCEREADY".ljust(12)
    server.hear_rest()
    return [*events, *client.receive()]


def steps_of(
    server: Server, client: IpiClient, steps: Sequence[int], seed: int = 0
) -> list:
    rng = np.random.default_rng(seed)
    return [
        event
        for step in steps
        for bead in rng.permutation(N_BEADS)
        for event in ask(server, client, step, int(bead))
    ]


def contents(events: list) -> dict[int, Content]:
    return {
        each.frame.step: (
            each.frame.positions.tobytes(),
            each.frame.velocities.tobytes(),
            each.frame.beads.positions.tobytes(),
            each.frame.beads.velocities.tobytes(),
        )
        for each in events
        if isinstance(each, Arrived)
    }


@pytest.fixture(scope="module")
def whole() -> dict[int, Content]:
    """What a run without any mishap gives, in the order of the beads."""
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name)
        server, client = Server(folder / "driver"), new_client(folder, memory=False)
        server.accept(client)
        found = {}
        for step in range(14):
            for bead in range(N_BEADS):
                found |= contents(ask(server, client, step, bead))
        client.close()
        server.close()
    return found


def test_a_step_is_one_frame_of_all_beads_and_their_centroid(
    whole: dict[int, Content],
) -> None:
    assert sorted(whole) == [2, 4, 6, 8, 10, 12]
    for step, (centroid, velocity, beads, velocities) in whole.items():
        wanted = np.array([positions(step, bead) for bead in range(N_BEADS)])
        ahead, behind = (
            np.array([positions(step + one, bead) for bead in range(N_BEADS)])
            for one in (1, -1)
        )
        unit = ANGSTROM_PER_IPI_BOHR
        np.testing.assert_allclose(
            np.frombuffer(beads), wanted.ravel() * unit, rtol=1e-15
        )
        speed = (ahead - behind) * unit / (2 * DT)
        np.testing.assert_allclose(np.frombuffer(velocities), speed.ravel(), atol=1e-13)
        np.testing.assert_allclose(
            np.frombuffer(centroid), wanted.mean(axis=0).ravel() * unit, rtol=1e-15
        )
        np.testing.assert_allclose(
            np.frombuffer(velocity), speed.mean(axis=0).ravel(), atol=1e-13
        )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_order_of_the_beads_makes_no_difference(
    whole: dict[int, Content], seed: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name)
        server, client = Server(folder / "driver"), new_client(folder)
        server.accept(client)
        assert contents(steps_of(server, client, range(14), seed)) == whole
        assert client.n_foreign == 0
        client.close()
        server.close()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kills=st.sets(st.integers(0, 14 * N_BEADS - 1), min_size=1, max_size=6),
    answered=st.booleans(),
)
def test_a_driver_that_is_killed_at_any_bead_misses_nothing(
    whole: dict[int, Content], seed: int, kills: set[int], answered: bool
) -> None:
    """After the answer, or between the file and the answer: then it is asked again."""
    rng = np.random.default_rng(seed)
    order = [(s, int(b)) for s in range(14) for b in rng.permutation(N_BEADS)]
    found: dict[int, Content] = {}
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name)
        server, client = Server(folder / "driver"), new_client(folder)
        server.accept(client)
        for number, (step, bead) in enumerate(order):
            events = ask(server, client, step, bead)
            if number in kills:
                client.close()  # says nothing to i-PI and leaves its files as they are
                server.drop()
                client = new_client(folder)
                if client._recovering:
                    assert isinstance(client.receive()[0], Started)
                    client.accept(-1)
                    events += client.receive()
                server.accept(client)
                if not answered:
                    events += ask(server, client, step, bead)
            for at, content in contents(events).items():
                assert found.setdefault(at, content) == content
        client.close()
        server.close()
    assert found == whole


@pytest.mark.parametrize("begun", [0, 1, 3])
@pytest.mark.parametrize("rounding", [0.0, 4.5e-10])
@pytest.mark.parametrize("back", [1, 2, 11])
def test_ipi_that_goes_back_does_so_with_all_beads_together(
    folder: Path,
    server: Server,
    whole: dict[int, Content],
    begun: int,
    rounding: float,
    back: int,
) -> None:
    """Some beads of step 12 had come; none of them gets into the steps after."""
    client = new_client(folder)
    server.accept(client)
    before = contents(steps_of(server, client, range(12)))
    for bead in range(begun):
        ask(server, client, 12, bead)
    server.drop()
    client.receive()
    server.accept(client)
    rng, after = np.random.default_rng(1), []
    for step in range(12 - back, 16):
        for bead in rng.permutation(N_BEADS):
            after += ask(server, client, step, int(bead), rounding)
    client.close()
    found = contents(after)
    assert max(found) == 14
    for step, content in (before | found).items():
        for part, wanted in zip(content, whole.get(step, content), strict=True):
            np.testing.assert_allclose(
                np.frombuffer(part), np.frombuffer(wanted), atol=1e-8
            )
    if rounding == 0.0:
        same = {step: found[step] for step in found if step in whole}
        assert same == {step: whole[step] for step in same}


def test_a_full_disk_makes_ipi_wait_with_any_bead(
    folder: Path,
    server: Server,
    whole: dict[int, Content],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = new_client(folder)
    server.accept(client)
    steps_of(server, client, range(6))
    assert client._followed._beads is not None
    spool = client._followed._beads._spool
    assert spool is not None

    def full(configuration: Configuration) -> None:
        raise OSError(28, "No space left on device")

    append = spool.append
    monkeypatch.setattr(spool, "append", full)
    assert server.peer is not None
    server.peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ask(server, client, 6, 2)
    monkeypatch.setattr(spool, "append", append)
    client.receive()
    assert server.peer is not None
    server.peer.settimeout(5.0)
    assert server.hear(12) == b"FORCEREADY".ljust(12)
    server.hear_rest()
    events = [each for bead in (0, 3, 1) for each in ask(server, client, 6, bead)]
    events += steps_of(server, client, range(7, 10))
    client.close()
    assert contents(events) == {step: whole[step] for step in (6, 8)}


def test_other_systems_of_the_socket_are_answered_and_not_counted(
    folder: Path, server: Server, whole: dict[int, Content]
) -> None:
    client = new_client(folder)
    server.accept(client)
    found, rng = {}, np.random.default_rng(5)
    for step in range(14):
        for bead in rng.permutation([0, 1, 2, 3, 20, 21]):
            found |= contents(ask(server, client, step, int(bead)))
    client.close()
    assert found == whole
    assert client.n_foreign > 2 * 12


def test_a_wrong_number_of_beads_is_refused_by_what_to_do(
    folder: Path, server: Server
) -> None:
    client = new_client(folder, n_beads=3)
    server.accept(client)
    with pytest.raises(SettingsError, match="beads is 3, but nbeads is '4' in i-PI's"):
        ask(server, client, 0, 0)
    client.close()


def test_the_number_of_beads_has_to_be_in_the_parameters(
    folder: Path, server: Server
) -> None:
    client = new_client(folder)
    server.accept(client)
    server.say(client, b"STATUS".ljust(12))
    with pytest.raises(SettingsError, match=r"Write there \{nbeads: 4\}, the nbeads"):
        server.say(
            client, b"INIT".ljust(12) + bytes(4) + b"\1\0\0\0 " + b"STATUS".ljust(12)
        )
    client.close()


def test_beads_are_for_who_wants_them(folder: Path, server: Server) -> None:
    client = new_client(folder, n_beads=1)
    server.accept(client)
    with pytest.raises(SettingsError, match=r"source\.beads is 1, but nbeads is '4'"):
        ask(server, client, 0, 0)
    client.close()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([0, 1, 2, 0], "asked about bead 7 again after 3 of the 4 beads"),
        ([0, 3, 1, 2, 4], "asks about bead 11, beside the 4 beads 7 to 10"),
        ([5, 1, 2, 3, 4, 0], "asks about bead 7, beside the 4 beads 8 to 11"),
    ],
)
def test_another_number_than_was_said_is_noticed_in_the_first_steps(
    folder: Path, server: Server, order: list[int], message: str
) -> None:
    client = new_client(folder)
    server.accept(client)
    for number, bead in enumerate(order[:-1]):
        ask(server, client, number // N_BEADS, bead)
    with pytest.raises((FrameError, SettingsError), match=message):
        ask(server, client, 1, order[-1])
    client.close()
