"""The service with an evaluator in its own process, for tests of everything else.

No child has to start, so a run takes a part of a second.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import analytic
import pytest
from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from rich.console import Console

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import MimyriaError
from mimyria.tensors import Tensors
from mimyria_driver.monitor import Monitor
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import read_header
from mimyria_driver.service import Service
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

N_FRAMES = 100


class InlineEvaluator:
    """Evaluates when it is asked for results."""

    def __init__(self):
        self._grouping = None
        self._batches = []
        self._pair = socket.socketpair()
        self.restarts = 0
        self.wants_write = False
        self.ready = {
            "device": "cpu",
            "models": {
                target: {"name": target, "sha256": "a" * 64, "species": [1, 8]}
                for target in ("apt", "pgt")
            },
        }

    @property
    def pollable(self):
        return self._pair[0].fileno()

    @property
    def n_batches(self):
        return len(self._batches)

    def describe(self, grouping):
        self._grouping = grouping

    def submit(self, frames):
        self._batches.append(list(frames))
        self._pair[1].send(b"x")

    def results(self):
        if not self._batches:
            return []
        self._pair[0].recv(1)
        return [self._sample(frame) for frame in self._batches.pop(0)]

    def _sample(self, frame):
        exact = Tensors(*(analytic.tensor(target, frame) for target in ("apt", "pgt")))
        parts = self._grouping and contributions(frame, exact, self._grouping)
        return Sample(currents(frame, exact), parts)

    def close(self):
        for end in self._pair:
            end.close()


def whole_run(frames=None, **changes):
    frames = trajectory(N_FRAMES) if frames is None else frames
    return [Started(description(**changes)), *arrivals(frames), Ended("the end")]


def quiet_settings(directory, **sections):
    """Those of `analytic`, with a result at the end only."""
    spectrum = {"refresh": 1000.0, **sections.pop("spectrum", {})}
    return make_settings(directory, spectrum=spectrum, **sections)


def serve(settings, source, *, stop=None):
    """Run the service; its exit code."""
    directory = settings.run.directory
    console = Console(file=sys.stderr, force_terminal=False, quiet=True)
    monitor = Monitor(directory, report=settings.run.report, console=console)
    make_source = source if callable(source) else lambda: source
    return Service(
        settings,
        make_source,
        monitor,
        stop or StopRequest(),
        lambda _: InlineEvaluator(),
    ).run()


def bits(directory):
    """Everything that the fold of a run's journal holds."""
    path = Path(directory) / "journal"
    identity, _ = read_header(path)
    pipeline = rebuild(path, identity, make_settings(directory).spectrum)
    state = {
        f"{target}.{name}": array.tobytes()
        for target, arrays in pipeline.state().items()
        for name, array in arrays.items()
    }
    return state, (pipeline.kinetic_temperature, pipeline.n_frames, pipeline.n_segments)


def start(directory, n_frames=N_FRAMES, pause=0.005, refresh=1000.0, snapshot=300.0):
    """The same as a process of its own."""
    words = [directory, n_frames, pause, refresh, snapshot]
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)], stderr=subprocess.PIPE
    )


def wait_for_records(directory, n, process, deadline=60.0):
    """Until the journal of a process has so many."""
    path = Path(directory) / "journal"
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        assert process.poll() is None, process.stderr.read().decode()
        if path.exists():
            identity, first = read_header(path)
            grown = path.stat().st_size - first
            if identity.grouping is not None and grown >= n * identity.record_size:
                return
        time.sleep(0.01)
    pytest.fail("the driver wrote too few records in time")


def main(directory, n_frames, pause, refresh, snapshot):
    """A driver with a scripted source."""
    source = ScriptedSource(whole_run(trajectory(int(n_frames))), pause=float(pause))
    settings = quiet_settings(
        Path(directory),
        spectrum={"refresh": float(refresh)},
        run={"snapshot": float(snapshot)},
    )
    with StopRequest() as stop:
        return serve(settings, source, stop=stop)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        sys.exit(main(*sys.argv[1:]))
    except MimyriaError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
