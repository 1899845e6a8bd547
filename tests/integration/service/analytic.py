"""Exact models, trajectories and sources for tests of the service, in any process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from mimyria.frame import Frame
from mimyria.targets import target_by_name
from mimyria.tensorsources import SourceMetadata
from mimyria_driver.assembly import build_source
from mimyria_driver.evaluator import Evaluator
from mimyria_driver.monitor import Monitor
from mimyria_driver.service import Service
from mimyria_driver.settings import Settings, parse_settings
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Arrived, Ended, RunDescription, Started

HERE = Path(__file__).resolve().parent
NUMBERS = np.array([8, 1, 1, 8, 1, 1])
MASSES = np.array([15.999, 1.008, 1.008, 15.999, 1.008, 1.008])
TIME_STEP = 0.5
STRIDE = 4
CHARGES = {1: 0.4, 8: -0.8}


class Model:
    """P = q (1 + r r^T / 100) and Q = (r_c r_a r_b) / 1000: all of the frame counts."""

    def __init__(self, target, sha256="a" * 64):
        self.target = target
        kind = target_by_name(target)
        self.metadata = SourceMetadata(
            f"analytic-{target}", kind, kind.order, kind.unit, (1, 8), sha256
        )

    def predict(self, frames):
        for frame in frames:
            misbehave(frame.step)
        return [tensor(self.target, frame) for frame in frames]


def tensor(target, frame):
    r = frame.positions
    q = np.array([CHARGES[number] for number in frame.numbers.tolist()])
    if target == "apt":
        outer = np.einsum("ia,ib->iab", r, r)
        return q[:, None, None] * (np.eye(3) + 0.01 * outer)
    return 1e-3 * np.einsum("ia,ib,ic->iabc", r, r, r)


def misbehave(step):
    """Die, hang or crash at a step, as the environment says; once or always."""
    fault = json.loads(os.environ.get("MIMYRIA_TEST_FAULT", "{}"))
    if step < fault.get("step", 1 << 60):
        return
    flag = fault.get("once")
    if flag and Path(flag).exists():
        return
    if flag:
        Path(flag).touch()
    if fault["kind"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault["kind"] == "hang":
        time.sleep(600)
    if fault["kind"] == "crash":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def make_model(target, device):
    """What the evaluator's child is told to call."""
    return Model(target)


def another_model(target, device):
    return Model(target, "b" * 64)


def nan_model(target, device):
    model = Model(target)
    model.predict = lambda frames: [
        tensor(target, frame) * (np.nan if frame.step >= 40 else 1.0)
        for frame in frames
    ]
    return model


def trajectory(n_frames, seed=0, shift=0.0):
    """Frames of two atoms groups that swing; 300 K or so."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.0, 6.0, (6, 3))
    amplitude = rng.normal(0.0, 0.03, (6, 3))
    frequency = rng.uniform(0.02, 0.12, (6, 3))
    cell = np.array([[6.0, 0.0, 0.0], [1.0, 6.5, 0.0], [0.5, -1.0, 7.0]])
    frames = []
    for index in range(n_frames):
        t = index * STRIDE * TIME_STEP
        frames.append(
            Frame(
                NUMBERS,
                base + amplitude * np.sin(frequency * t + shift),
                cell * (1 + 1e-4 * np.sin(0.01 * t)),
                amplitude * frequency * np.cos(frequency * t + shift),
                index * STRIDE,
            )
        )
    return frames


def description(**changes):
    values = {
        "engine": "scripted engine 1",
        "numbers": NUMBERS,
        "masses": MASSES,
        "time_step": TIME_STEP,
        "stride": STRIDE,
    }
    return RunDescription(**{**values, **changes})


def arrivals(frames, previous=-1):
    events = []
    for frame in frames:
        events.append(Arrived(frame, previous))
        previous = frame.step
    return events


class ScriptedSource:
    """A source in memory; like an engine it goes on behind the durable step."""

    pollable = None

    def __init__(self, events, pause=0.0, resumes=True):
        self.events = list(events)
        self.pause = pause
        self.resumes = resumes
        self.accepted = []
        self.acknowledged = []
        self.refused = None
        self.closed = False
        self._answered = True
        self.largest_lag = 0
        self._sent = 0

    def receive(self):
        if not self.events or not self._answered:
            return []
        if self.pause:
            time.sleep(self.pause)
        event = self.events.pop(0)
        self._answered = not isinstance(event, Started)
        if isinstance(event, Arrived):
            self._sent += 1
        return [event]

    def accept(self, durable_step):
        self._answered = True
        self.accepted.append(durable_step)
        if self.resumes:
            self.events = [
                event
                for event in self.events
                if not isinstance(event, Arrived) or event.frame.step > durable_step
            ]

    def refuse(self, reason):
        self.refused = reason
        self.events = []

    def acknowledge(self, step):
        self.acknowledged.append(step)

    def close(self, *, coming_back=False):
        self.closed = True


def models(function="make_model"):
    """The section of the settings that names a function of this file."""
    name = f"python:analytic:{function}"
    return {"apt": name, "pgt": name, "device": "cpu", "search": str(HERE)}


def make_settings(directory, **sections) -> Settings:
    document = {
        "run": {"directory": str(directory), "report": 1000.0},
        "source": {"kind": "lammps"},
        "models": models(),
        "spectrum": {"resolution": 200.0, "plots": False, "refresh": 0.05},
    }
    for name, values in sections.items():
        document[name] = {
            key: value
            for key, value in {**document.get(name, {}), **values}.items()
            if value is not None
        }
    return parse_settings(document, Path("/"))


def serve(settings, source, *, stop=None, **options):
    """Run the service in this process with the real evaluator child; its exit code."""
    directory = settings.run.directory
    monitor = Monitor(
        directory,
        report=settings.run.report,
        console=Console(file=sys.stderr, force_terminal=False),
    )

    def make_evaluator(log_path):
        return Evaluator(settings.models, log_path, **options)

    make_source = source if callable(source) else lambda: source
    return Service(
        settings, make_source, monitor, stop or StopRequest(), make_evaluator
    ).run()


def scripted(directory, n_frames, pause):
    """A driver as its own process, for tests that kill it."""
    events = [Started(description()), *arrivals(trajectory(int(n_frames)))]
    events.append(Ended("the end"))
    with StopRequest() as stop:
        source = ScriptedSource(events, pause=float(pause))
        return serve(make_settings(directory), source, stop=stop)


def lammps(directory):
    """A driver that listens to a real LAMMPS, with the exact models."""
    settings = make_settings(directory)
    with StopRequest() as stop:
        return serve(settings, lambda: build_source(settings), stop=stop)


def ipi(directory, address, *elements, n_beads=1):
    """A driver that is the client of a real i-PI, with the exact models."""
    settings = make_settings(
        directory,
        source={
            "kind": "ipi",
            "address": address,
            "time_step": TIME_STEP,
            "stride": STRIDE,
            "elements": list(elements),
            "beads": n_beads,
        },
    )
    with StopRequest() as stop:
        return serve(settings, lambda: build_source(settings), stop=stop)


def dump(directory, path):
    """A driver that reads the binary dump of a real LAMMPS, with the exact models."""
    settings = make_settings(
        directory,
        source={
            "kind": "lammps-dump",
            "path": str(path),
            "types": ["1=O", "2=H"],
            "time_step": TIME_STEP,
            "stride": STRIDE,
        },
    )
    with StopRequest() as stop:
        return serve(settings, lambda: build_source(settings), stop=stop)


def imd(directory, address, structure):
    """A driver that is the client of a real LAMMPS with IMD, with the exact models."""
    settings = make_settings(
        directory,
        source={
            "kind": "imd",
            "address": address,
            "structure": structure,
            "units": "lammps-real",
            "time_step": TIME_STEP,
            "stride": STRIDE,
        },
    )
    with StopRequest() as stop:
        return serve(settings, lambda: build_source(settings), stop=stop)


if __name__ == "__main__":
    mains = {
        "scripted": scripted,
        "lammps": lammps,
        "ipi": ipi,
        "ipi-beads": partial(ipi, n_beads=4),
        "dump": dump,
        "imd": imd,
    }
    main = mains[sys.argv[1]]
    sys.exit(main(*sys.argv[2:]))
