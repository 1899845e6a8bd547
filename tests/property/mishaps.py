"""What happens to a `World`, how often, and what has to be left of its series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st
from lossyworld import FAULTS, MODES, N_FRAMES, STRIDE, World, restore_modules

__all__ = ["FAULTS", "MODES", "run", "runs", "weights"]

PATIENCE = 100  # turns without any change after which a run is stuck


def disturb(world: World, action: str, choice: int) -> None:
    world.clock.n_asked = 0
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
        world.kill_engine(choice)
        FAULTS["engine kills"] += 1
    elif action == "lose the end":
        world.lose_the_end(choice)
        FAULTS["lost ends"] += 1
    elif action == "wander":
        wander(world, choice)
    else:
        PROGRESS[action](world)


def pass_time(world: World) -> None:
    world.clock.pass_by(3.0)


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


def pass_some(world: World) -> None:
    """Time for a HELLO, its answer and some frames, which are confirmed."""
    for _ in range(5):
        turn(world)
        world.sync()


def wander(world: World, choice: int) -> None:
    """Another way from an old file, whose end is lost, then the old way behind that."""
    if world.mode != "old files":
        return
    old = list(world.files)
    world.start_again(old[choice % len(old)], 1)
    pass_some(world)
    reached = world.last_step()
    world.lose_the_end(1)
    pass_some(world)
    inside = [file for file in old if reached < file.step < world.begin]
    world.start_again((inside or old)[choice % len(inside or old)], 0)
    FAULTS["wandered"] += bool(inside)


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
OFTEN = [*WEIGHTS, *("kill engine", "lose the end", "wander") * 2]


def weights(mode: str) -> list[str]:
    """What happens how often; branches need deaths to cross each other."""
    return OFTEN if mode == "old files" else WEIGHTS


def actions(mode: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    """What happens to one world."""
    one = st.tuples(st.sampled_from(weights(mode)), st.integers(0, 60))
    return st.lists(one, min_size=40, max_size=400)


def runs(*modes: str) -> st.SearchStrategy[tuple[str, list[tuple[str, int]]]]:
    """What `run` takes."""
    return st.sampled_from(modes).flatmap(lambda m: st.tuples(st.just(m), actions(m)))


def settle(world: World) -> None:
    """A quiet end: everything arrives, until all is durable."""
    before, n_stuck = None, 0
    while world.step <= N_FRAMES * STRIDE or len(world.window):
        world.make_frame()
        world.look()
        while world.net.flying:
            world.net.deliver(0)
        world.receive()
        world.sync()
        while world.net.flying:
            world.net.deliver(0)
        world.look()
        now = (world.step, len(world.window), len(world.written))
        n_stuck = n_stuck + 1 if now == before else 0
        assert n_stuck < PATIENCE, "the run does not come to its end"
        # The engine waits for ten times what a frame takes, but not for ever.
        world.clock.pass_by(10.0 if n_stuck else 0.5)
        before = now


def run(mode: str, actions: list[tuple[str, int]]) -> None:
    """Do all of it, and check what is left."""
    try:
        world = World(mode)
        for action, choice in actions:
            disturb(world, action, choice)
        settle(world)
    finally:
        restore_modules()
    check_series(world)


def check_series(world: World) -> None:
    """The last way of the engine is there, each step once, and nothing else."""
    series = world.live()
    everything = range(0, (N_FRAMES + 1) * STRIDE, STRIDE)
    wanted = {step: np.float64(world.history[step]).tobytes() for step in everything}
    if world.mode == "old files":
        # What the driver has not got before the file was written is not sent again.
        missing = [step for step in everything if step not in series]
        assert all(step < world.begin for step in missing)
        late = {step: value for step, value in series.items() if step >= world.begin}
        assert late == {s: v for s, v in wanted.items() if s >= world.begin}
        made = {(step, np.float64(value).tobytes()) for step, value in world.made}
        assert set(series.items()) <= made
        return
    assert series == wanted
    # One segment: nothing was missing, and every step back was recognised as one.
    starts = [step for kind, step, _, before in world.written if before == -1]
    exact = world.mode == "exact"
    assert all(step == 0 for step in starts if step in series) or not exact
