"""Any interleaving of faults: each step of the final trajectory once, and nothing else.

The window and the receiver are the real ones, over a transport in which any message may
come late, twice or never; the engine and the driver die when hypothesis wants. What is
checked are the invariants of facts on reliability, I1 to I5.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "driver"))

from faketransport import FakeDoorman, FakeZmq
from lammpsfakes import STRIDE, FakeEngine

from mimyria_driver.lammps import receiver as receiver_module
from mimyria_driver.lammps import window as window_module
from mimyria_driver.lammps.doorman import Doorman
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.window import Window
from mimyria_driver.sequence import Sequencer
from mimyria_driver.sources import Arrived, Started
from mimyria_driver.wire import Kind, Message, pack_box, pack_card

N_FRAMES = 60
BARRIER = 5 * STRIDE
BOX = pack_box([9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0.0, 0.0])
FAULTS = Counter[str]()


class World:
    """An engine, a driver and what is between them."""

    def __init__(self, exact: bool) -> None:
        self.net = FakeZmq()
        self.now = 1000.0
        self.clock = SimpleNamespace(monotonic=lambda: self.now)
        window_module.zmq = receiver_module.zmq = self.net  # type: ignore[assignment]
        receiver_module.Doorman = FakeDoorman  # type: ignore[assignment, misc]
        window_module.time = self.clock  # type: ignore[assignment]
        self.exact = exact
        self.history: dict[int, float] = {}
        self.restart_step = 0
        self.n_lives = 0
        # The journal: records in order of writing, and how many are synced.
        self.written: list[tuple[str, int, float, int]] = []
        self.n_synced = 0
        self.start_engine()
        self.start_driver()

    # -- engine -----------------------------------------------------------------------

    def start_engine(self) -> None:
        self.n_lives += 1
        self.step, self.previous = self.restart_step, -1
        engine = FakeEngine()
        card = engine.card(("Ar",), STRIDE)
        hello = Message(
            Kind.HELLO,
            step=self.step,
            n_atoms=2,
            n_local=2,
            incarnation=self.n_lives,
            parts=(pack_card(card), engine.ids(), engine.types(), engine.masses()),
        )
        self.window = Window("ipc://x", hello, lambda _: None)
        # The frame of the restart file comes first; it has the driver already.
        self.standing = False
        self.waits_at_barrier = False

    def content(self, step: int) -> float:
        drift = 0.0 if self.exact else 1e-9 * (self.n_lives - self.base_life(step))
        return float(step) + drift

    def base_life(self, step: int) -> int:
        """The frame of the restart file itself is that of the life before."""
        return self.n_lives if step == 0 else 0

    def make_frame(self) -> None:
        if self.waits_at_barrier or self.step > N_FRAMES * STRIDE:
            return
        if not self.window.has_room:
            return
        if self.step == self.restart_step and self.step in self.history:
            value = self.history[self.step]
        else:
            value = self.content(self.step)
        self.history[self.step] = value
        frame = Message(
            Kind.FRAME,
            self.step,
            self.previous,
            time=self.step * FakeEngine().time_step,
            n_atoms=2,
            n_local=2,
            parts=(
                BOX,
                FakeEngine().ids(),
                np.full(6, value).tobytes(),
                bytes(48),
            ),
        )
        self.window.push(self.step, self.window.stamped(frame))
        self.previous = self.step
        self.waits_at_barrier = self.step % BARRIER == 0
        if not self.waits_at_barrier:
            self.step += STRIDE

    def look(self) -> None:
        self.window.advance(0.0)
        if self.waits_at_barrier and not len(self.window):
            self.waits_at_barrier = False
            self.restart_step = self.step
            self.step += STRIDE

    def kill_engine(self) -> None:
        self.window._close_socket()
        # What is calculated anew replaces what there was.
        self.history = {
            step: value
            for step, value in self.history.items()
            if step <= self.restart_step
        }
        self.start_engine()

    # -- driver -----------------------------------------------------------------------

    def start_driver(self) -> None:
        self.receiver = LammpsReceiver("ipc:///tmp/fake", clock=lambda: self.now)
        self.sequencer = Sequencer(STRIDE, self.last_step(), self.live().items())
        self.reached = -1

    def live(self) -> dict[int, bytes]:
        """I1, I2: the series is a fold of the records."""
        series: dict[int, bytes] = {}
        for kind, step, value, previous in self.written:
            if kind == "roll":
                series = {s: v for s, v in series.items() if s < step}
                continue
            assert step not in series
            assert step > max(series, default=-1)
            assert previous in (-1, max(series, default=-1))
            series[step] = np.float64(value).tobytes()
        return series

    def last_step(self) -> int:
        return max(self.live(), default=-1)

    def receive(self) -> None:
        for event in self.receiver.receive():
            if isinstance(event, Started):
                self.sequencer.start_stream()
                self.reached = -1
                self.receiver.accept(self.last_step())
            elif isinstance(event, Arrived):
                self.take(event)

    def take(self, event: Arrived) -> None:
        step = event.frame.step
        value = float(event.frame.positions[0, 0])
        digest = np.float64(value).tobytes()
        place = self.sequencer.place(step, event.previous_step, digest)
        self.reached = max(self.reached, step)
        if place is None:
            FAULTS["duplicates"] += 1
            return
        if place.rollback:
            FAULTS["rollbacks"] += 1
            self.written.append(("roll", step, 0.0, -1))
        self.reached = step
        self.written.append(("frame", step, value, place.previous_step))

    def sync(self) -> None:
        self.n_synced = len(self.written)
        self.receiver.acknowledge(min(self.last_step(), self.reached))

    def kill_driver(self, n_lost: int) -> None:
        """What was not synced may be lost, from the end."""
        self.receiver._session = None
        self.receiver._socket.close()
        keep = max(self.n_synced, len(self.written) - n_lost)
        del self.written[keep:]
        self.n_synced = keep
        self.start_driver()


def disturb(world: World, action: str, choice: int) -> None:
    flying = world.net.flying
    if action in ("late", "twice", "lose") and not flying:
        return
    index = choice % len(flying) if flying else 0
    if action == "late":
        world.net.deliver(index)
        FAULTS["reordered"] += index > 0
    elif action == "twice":
        world.net.deliver(index, keep=True)
        FAULTS["doubled"] += 1
    elif action == "lose":
        del flying[index]
        FAULTS["lost"] += 1
    elif action == "kill driver":
        world.kill_driver(choice % 5)
        FAULTS["driver kills"] += 1
    elif action == "kill engine":
        world.kill_engine()
        FAULTS["engine kills"] += 1
    else:
        PROGRESS[action](world)


def pass_time(world: World) -> None:
    world.now += 3.0


def turn(world: World) -> None:
    """What happens all the time: a frame or two come through."""
    world.make_frame()
    world.look()
    while world.net.flying:
        world.net.deliver(0)
    world.receive()


def burst(world: World) -> None:
    """Several frames are under way at once, and the last one comes first."""
    for _ in range(4):
        world.make_frame()
    if len(world.net.flying) > 1:
        world.net.deliver(len(world.net.flying) - 1)
        FAULTS["reordered"] += 1


PROGRESS: dict[str, Callable[[World], None]] = {
    "frame": World.make_frame,
    "burst": burst,
    "look": World.look,
    "receive": World.receive,
    "sync": World.sync,
    "wait": pass_time,
    "turn": turn,
}
WEIGHTS = [
    *("turn",) * 24,
    *("sync",) * 8,
    *("frame", "burst", "burst", "look", "receive", "wait"),
    *("late", "late", "twice", "lose", "kill driver", "kill engine"),
]


def settle(world: World) -> None:
    """A quiet end: everything arrives, until all is durable."""
    for _ in range(3000):
        world.make_frame()
        world.look()
        while world.net.flying:
            world.net.deliver(0)
        world.receive()
        world.sync()
        while world.net.flying:
            world.net.deliver(0)
        world.look()
        world.now += 0.5
        if world.step > N_FRAMES * STRIDE and not len(world.window):
            return
    raise AssertionError("the run does not come to its end")


def run(exact: bool, actions: list[tuple[str, int]]) -> None:
    try:
        world = World(exact)
        for action, choice in actions:
            disturb(world, action, choice)
        settle(world)
    finally:
        import time

        import zmq

        window_module.zmq = receiver_module.zmq = zmq
        window_module.time = time
        receiver_module.Doorman = Doorman  # type: ignore[misc]
    series = world.live()
    assert list(series) == list(range(0, (N_FRAMES + 1) * STRIDE, STRIDE))
    wanted = {s: np.float64(v).tobytes() for s, v in world.history.items()}
    assert series == wanted
    # One segment: nothing was missing, and every step back was recognised as one.
    starts = [step for kind, step, _, before in world.written if before == -1]
    assert all(step == 0 for step in starts if step in series) or not exact


ACTIONS = st.tuples(st.sampled_from(WEIGHTS), st.integers(0, 60))


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(st.booleans(), st.lists(ACTIONS, min_size=40, max_size=400))
def test_each_step_enters_exactly_once(
    exact: bool, actions: list[tuple[str, int]]
) -> None:
    """N6."""
    run(exact, actions)


def test_the_faults_really_happened() -> None:
    if not FAULTS:
        pytest.skip("runs after the test above")
    for name in (
        "duplicates",
        "rollbacks",
        "reordered",
        "doubled",
        "lost",
        "driver kills",
        "engine kills",
    ):
        assert FAULTS[name] > 0, name


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(10))
def test_long_runs_of_faults(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(500):
        n_actions = int(rng.integers(100, 2000))
        actions = list(
            zip(
                rng.choice(WEIGHTS, n_actions).tolist(),
                rng.integers(0, 60, n_actions).tolist(),
                strict=True,
            )
        )
        run(bool(rng.integers(2)), actions)


def test_a_confirmation_without_the_welcome_before_it_stops_nothing() -> None:
    """The new connection has to be made again, although no frame is waiting."""
    silence = [("wait", 0), ("wait", 0)]
    run(False, [*[("turn", 0)] * 4, *silence, ("turn", 0), ("lose", 0)])
