"""An engine, a driver and a transport between them that does what hypothesis wants.

The window, the receiver and the sequencer are the real ones. Messages come late, twice
or never, and both ends die. What is checked are the invariants of a series: `live` and
`take` while it grows.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "driver"))

from faketransport import FakeDoorman, FakeZmq
from lammpsfakes import STRIDE, FakeEngine

from mimyria_driver.lammps import receiver as receiver_module
from mimyria_driver.lammps import window as window_module
from mimyria_driver.lammps.doorman import Doorman
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.lammps.window import Window
from mimyria_driver.runcard import pack_card
from mimyria_driver.sequence import Sequencer
from mimyria_driver.sources import Arrived, Started
from mimyria_driver.wire import Kind, Message, pack_box

__all__ = ["FAULTS", "MODES", "N_FRAMES", "STRIDE", "World", "restore_modules"]

N_FRAMES = 60
BARRIER = 5 * STRIDE
BOX = pack_box([9.0, 0, 0, 0, 9.0, 0, 0, 0, 9.0], [0.0, 0.0, 0.0])
FAULTS = Counter[str]()
MODES = ("exact", "another way", "old files")
"""What an engine does after its death: it goes on from its newest restart file to the
bit, or not to the bit; or it goes on from any file that it has ever written, one way or
another, and no barrier keeps a file back until the driver has what was before it."""


@dataclass
class Clock:
    """Stands still during a call; who asks without end waits without end."""

    now: float = 1000.0
    n_asked: int = 0

    def monotonic(self) -> float:
        self.n_asked += 1
        assert self.n_asked < 20_000, "a call does not come back"
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.n_asked = 0


@dataclass
class RestartFile:
    """Where an engine can go on.

    Attributes:
        step: of the file.
        branch: number of the way that led there.
        history: value of every frame on that way.
    """

    step: int = 0
    branch: int = 0
    history: dict[int, float] = field(default_factory=lambda: {0: 0.0})


class World:
    """An engine, a driver and what is between them."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.net = FakeZmq()
        self.clock = Clock()
        window_module.zmq = receiver_module.zmq = self.net  # type: ignore[assignment]
        receiver_module.Doorman = FakeDoorman  # type: ignore[assignment, misc]
        window_module.time = self.clock  # type: ignore[assignment]
        self.files = [RestartFile()]
        self.branches: dict[tuple[int, int, int], int] = {}
        # Every frame ever made, and the value of the one before it on its way.
        self.made: dict[tuple[int, float], float | None] = {}
        self.n_lives = 0
        # The journal: records in order of writing, and how many are synced.
        self.written: list[tuple[str, int, float, int]] = []
        self.n_synced = 0
        self.start_engine(self.files[0], 0)
        self.start_driver()

    # -- engine -----------------------------------------------------------------------

    def start_engine(self, file: RestartFile, way: int) -> None:
        """Go on from a file: to the bit (0), or another way, the same each time."""
        self.n_lives += 1
        self.begin, self.step, self.previous = file.step, file.step, -1
        key = (file.branch, file.step, way)
        new = len(self.branches) + 1
        self.branch = self.branches.setdefault(key, new) if way else file.branch
        # What is calculated anew replaces what there was.
        self.history = dict(file.history)
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
        self.waits_at_barrier = False

    def make_frame(self) -> None:
        if self.waits_at_barrier or self.step > N_FRAMES * STRIDE:
            return
        if not self.window.has_room:
            return
        # The frame of the restart file itself is that of the life before.
        value = self.history.setdefault(self.step, self.step + self.branch * 2.0**-20)
        self.made[self.step, value] = self.history.get(self.step - STRIDE)
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
        at_file = self.step % BARRIER == 0
        self.waits_at_barrier = at_file and self.mode != "old files"
        if not self.waits_at_barrier:
            if at_file:
                self.write_file()
            self.step += STRIDE

    def write_file(self) -> None:
        self.files.append(RestartFile(self.step, self.branch, dict(self.history)))

    def look(self) -> None:
        self.window.advance(0.0)
        if self.waits_at_barrier and not len(self.window):
            self.waits_at_barrier = False
            self.write_file()
            self.step += STRIDE

    def start_again(self, file: RestartFile, way: int) -> None:
        self.window._close_socket()
        self.start_engine(file, way)

    def kill_engine(self, choice: int) -> None:
        file, way = self.files[-1], 0
        if self.mode == "another way":
            way = self.n_lives
        elif self.mode == "old files":
            older = choice % 2 == 0
            file = self.files[choice // 2 % len(self.files)] if older else file
            way = choice % 3
            FAULTS["old files"] += older
        self.start_again(file, way)

    def lose_the_end(self, choice: int) -> None:
        """What an engine sends before it dies arrives nowhere."""
        for _ in range(12):
            self.make_frame()
            self.net.flying.clear()
        self.kill_engine(choice)

    # -- driver -----------------------------------------------------------------------

    def start_driver(self) -> None:
        self.receiver = LammpsReceiver("ipc:///tmp/fake", clock=self.clock.monotonic)
        self.sequencer = Sequencer(STRIDE, self.last_step(), self.live().items())
        self.reached = -1

    def live(self) -> dict[int, bytes]:
        """I1, I2: the series is a fold of the records."""
        series: dict[int, bytes] = {}
        for kind, step, value, previous in self.written:
            if kind == "roll":
                series = {s: v for s, v in series.items() if s < step}
                continue
            assert step > max(series, default=-1)
            if previous != -1:
                assert previous == max(series, default=-1) == step - STRIDE
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
            assert self.live().get(step) == digest, "dropped, but not there"
            FAULTS["duplicates"] += 1
            return
        FAULTS["gaps"] += place.previous_step < 0 <= self.last_step() < step
        if place.rollback:
            FAULTS["rollbacks"] += 1
            self.written.append(("roll", step, 0.0, -1))
        # A new engine is believed that it goes on behind the last frame, as the next
        # job of a chain does; all other neighbours have to be of one way.
        believed = event.previous_step < 0 and not place.rollback
        if place.previous_step >= 0 and not believed:
            series = self.live()
            assert place.previous_step in series
            before = np.frombuffer(series[place.previous_step])[0]
            assert self.made.get((step, value)) == before, "neighbours of two ways"
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


def restore_modules() -> None:
    """Real sockets and clocks again."""
    window_module.zmq = receiver_module.zmq = zmq
    window_module.time = time
    receiver_module.Doorman = Doorman  # type: ignore[misc]
