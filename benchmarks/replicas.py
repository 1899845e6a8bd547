"""Many replicas in one driver: frames per second, fairness, order and batches.

    python benchmarks/replicas.py [--model null|compact] [--batch 1]
                                  [--replicas 1 16 80] [--frames 1600]

Engines are imitated in the driver's own process: each has its frames of 64 waters ready
whenever it may send one, so the driver sets the pace. Everything behind them is that of
production: one evaluator in a process of its own, a journal for each replica with its
syncs, correlators, the common result. The null model gives constants at once, so that
the driver alone is measured; `compact` is `water-compact-joint` on one thread.

*CPU ms*: CPU time of the driver's own process for each frame, with that of the imitated
engines and of the common result; it depends on a busy machine less than frames/s does.
*passed over*: most batches of others that the evaluator took between two of a replica
that had frames waiting; fair is at most the number of the others. *spread*: time from
the end of the first replica to that of the last, as a part of the whole. *full*: how
many of the batches were full ones; frames that fill none come at the end of a replica.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import ase.io
import numpy as np
from rich.console import Console

from mimyria.frame import Array, Frame
from mimyria_driver.evaluator import Evaluator
from mimyria_driver.journal import read_journal
from mimyria_driver.labels import replica_folder
from mimyria_driver.monitor import Monitor
from mimyria_driver.replicas import Ensemble
from mimyria_driver.replicas.facade import Job
from mimyria_driver.settings import Settings, parse_settings
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Arrived, Ended, Event, RunDescription, Started

WATER = Path(__file__).parents[1] / "inputs" / "ipi" / "water" / "init.xyz"
STRIDE, TIME_STEP, BOX = 4, 0.5, 12.417  # fs, Å
THERMAL = 0.01579  # Å/fs √amu, at 300 K
AT_ONCE = 4

NULL_MODEL = """\
import numpy as np
from mimyria.targets import APT, PGT
from mimyria.tensorsources import SourceMetadata

TARGETS = {"apt": APT, "pgt": PGT}


class Constant:
    def __init__(self, name):
        target = TARGETS[name]
        self.shape = {"apt": (3, 3), "pgt": (3, 3, 3)}[name]
        self.metadata = SourceMetadata("constant", target, target.order, target.unit)

    def predict(self, frames):
        return [np.ones((len(frame.numbers), *self.shape)) for frame in frames]


def make(target, device):
    return Constant(target)
"""
MODELS = {
    "null": {"apt": "python:null_model:make", "pgt": "python:null_model:make"},
    "compact": {"joint": "water-compact-joint"},
}


class Engine:
    """A source that always has a frame: the same water, moved and kicked at random."""

    pollable = None

    def __init__(self, atoms: ase.Atoms, seed: int, n_frames: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._atoms = atoms
        self._n_frames = n_frames
        self._index = 0
        self._state = "new"
        self.finished = 0.0

    def receive(self) -> list[Event]:
        atoms = self._atoms
        if self._state == "new":
            self._state = "asked"
            masses = atoms.get_masses()
            return [
                Started(
                    RunDescription("none", atoms.numbers, masses, TIME_STEP, STRIDE)
                )
            ]
        if self._state != "accepted":
            return []
        events: list[Event] = []
        while len(events) < AT_ONCE and self._index < self._n_frames:
            step = STRIDE * self._index
            events.append(Arrived(self._frame(step), step - STRIDE if step else -1))
            self._index += 1
        if not events:
            self._state = "over"
            events.append(Ended("the end"))
        return events

    def _frame(self, step: int) -> Frame:
        velocities = self._rng.normal(size=(len(self._atoms), 3))
        velocities *= THERMAL / np.sqrt(self._atoms.get_masses())[:, None]
        positions: Array = self._atoms.positions + velocities
        cell = BOX * np.eye(3)
        return Frame(self._atoms.numbers, positions, cell, velocities, step)

    def accept(self, durable_step: int) -> None:
        self._state = "accepted"

    def refuse(self, reason: str) -> None:
        raise SystemExit(reason)

    def acknowledge(self, step: int) -> None:
        if step == (self._n_frames - 1) * STRIDE:
            self.finished = time.monotonic()

    def close(self, *, coming_back: bool = False) -> None:
        pass


@dataclass
class Turns:
    """What the evaluator was given, and who waited meanwhile.

    Attributes:
        sizes: how many batches had so many frames.
        worst: most batches of others before one of a replica that waited.
        begun: when the first one was given.
    """

    sizes: Counter[int] = field(default_factory=Counter)
    worst: int = 0
    begun: float = 0.0
    passed_over: Counter[object] = field(default_factory=Counter)

    def watch(self, run: Ensemble) -> None:
        """Look at each batch before it is handed on."""
        broker = run._broker
        submit = broker._submit

        def look(job: Job) -> None:
            if not job.is_canary:
                self.begun = self.begun or time.monotonic()
                self.sizes[len(job.frames)] += 1
                waiting = [f for f in broker._facades if f.waiting]
                self.worst = max(self.worst, self.passed_over.pop(job.facade, 0))
                self.passed_over.update(f for f in waiting if f is not job.facade)
            submit(job)

        broker._submit = look  # type: ignore[method-assign]


def settings_of(folder: Path, model: str, batch: int, n_replicas: int) -> Settings:
    """Those of a run with the defaults, but without canaries and pictures."""
    (folder / "null_model.py").write_text(NULL_MODEL)
    models = {**MODELS[model], "device": "cpu", "batch": batch, "search": str(folder)}
    return parse_settings(
        {
            "run": {"directory": str(folder / "run")},
            "source": {"kind": "lammps", "replicas": n_replicas},
            "models": {**models, "canary": 0},
            "spectrum": {"temperature": 300.0, "resolution": 400.0, "plots": False},
        },
        folder,
    )


def measured(model: str, batch: int, n_replicas: int, n_frames: int) -> str:
    """One line of the table."""
    atoms = ase.io.read(WATER)
    each = n_frames // n_replicas
    engines: dict[int, Engine] = {}

    def make_source(settings: Settings) -> Engine:
        number = int(settings.run.directory.name) if n_replicas > 1 else 0
        engines[number] = Engine(atoms, number, each)
        return engines[number]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = settings_of(folder, model, batch, n_replicas)
        monitor = Monitor(folder / "run", console=Console(file=io.StringIO()))
        run = Ensemble(
            settings,
            monitor,
            StopRequest(),
            make_source=make_source,
            make_evaluator=lambda: Evaluator(settings.models, folder / "log"),
        )
        turns = Turns()
        turns.watch(run)
        busy = time.process_time()
        if run.run() != 0:
            raise SystemExit("the run did not end by itself")
        busy = time.process_time() - busy
        wanted = [STRIDE * index for index in range(each)]
        for number in engines:
            path = replica_folder(folder / "run", number) / "journal"
            if [record.step for record in read_journal(path)] != wanted:
                raise SystemExit(f"replica {number} has lost its order")
    ends = sorted(engine.finished for engine in engines.values())
    took = ends[-1] - turns.begun
    full = turns.sizes[batch] / turns.sizes.total()
    return (
        f"| {model} | {batch} | {n_replicas} | {each * n_replicas / took:.0f} "
        f"| {1e3 * busy / (each * n_replicas):.1f} "
        f"| {turns.worst} of {n_replicas - 1} | {(ends[-1] - ends[0]) / took:.2f} "
        f"| {full:.0%} of {turns.sizes.total()} |"
    )


def main() -> None:
    """Print the table, and how busy the machine was."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="null")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 16, 80])
    parser.add_argument("--frames", type=int, default=1600, help="of all together")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    names = "model", "batch", "replicas", "frames/s", "CPU ms", "passed over", "spread"
    print("|", " | ".join([*names, "full batches"]), "|")
    print("|---" * (len(names) + 1) + "|")
    for n_replicas in chosen.replicas:
        line = measured(chosen.model, chosen.batch, n_replicas, chosen.frames)
        print(line, flush=True)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
