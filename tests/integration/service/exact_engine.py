"""An engine in its own process that speaks the hook's protocol and restarts exactly.

    python exact_engine.py ENDPOINT N_FRAMES PAUSE

It notes how far it is; started again it goes on from a checkpoint far enough back for
the driver to have it, and sends some frames a second time, as engines do.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from analytic import MASSES, NUMBERS, STRIDE, TIME_STEP, trajectory

from mimyria_driver.lammps.sender import Sender
from mimyria_driver.runcard import RunCard

BACK = 40
"""Frames between the last one sent and the checkpoint; more than any window."""


class ExactEngine:
    """What the hook asks an engine for."""

    rank, n_ranks, n_beads = 0, 1, 0
    n_local = n_atoms = len(NUMBERS)
    time_step = TIME_STEP

    def __init__(self, frames):
        self.frames = frames
        self.index = 0

    @property
    def step(self):
        return self.index * STRIDE

    def card(self, elements, stride):
        periodic = (1, 1, 1)
        return RunCard("exact", "real", elements, TIME_STEP, stride, 1.0, 1.0, periodic)

    def real(self, name):
        return 1.0

    def box(self):
        rows = self.frames[self.index].cell.ravel().tolist()
        return rows, [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self):
        return np.arange(1, len(NUMBERS) + 1).astype("<i4").tobytes()

    def types(self):
        return (1 + (NUMBERS == 1)).astype("<i4").tobytes()

    def masses(self):
        return MASSES.astype("<f8").tobytes()

    def positions(self):
        return self.frames[self.index].positions.astype("<f8").tobytes()

    def velocities(self):
        return self.frames[self.index].velocities.astype("<f8").tobytes()


def main(endpoint, n_frames, pause):
    engine = ExactEngine(trajectory(int(n_frames)))
    note, beside = Path("engine.state"), Path("engine.state.new")
    sent = int(note.read_text()) if note.exists() else -1
    sender = Sender(endpoint, ("O", "H"), STRIDE)
    for engine.index in range(max(0, sent - BACK), int(n_frames)):
        sender.sample(engine)
        beside.write_text(str(max(sent, engine.index)))
        beside.replace(note)  # whole, whenever it is killed
        time.sleep(float(pause))
    sender.finish()
    sender.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
