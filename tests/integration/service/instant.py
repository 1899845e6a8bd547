"""An evaluator without a child, and what a run folder holds, for tests that need many
runs of the service."""

from __future__ import annotations

import io
import socket
import time
from collections import deque
from pathlib import Path

import analytic
from rich.console import Console

from mimyria.targets import target_by_name
from mimyria.tensorsources import ConvertedSource, source_document
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator.worker import evaluate
from mimyria_driver.monitor import Monitor
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import read_header
from mimyria_driver.service import Service
from mimyria_driver.signals import StopRequest

__all__ = ["InstantEvaluator", "fold_of", "serve_here"]


class InstantEvaluator:
    """Answers in this process, `delay` seconds after a batch was handed over."""

    wants_write = False
    process_id = -1

    def __init__(self, delay=0.0):
        self.delay = delay
        self.restarts = 0
        self.seconds = Durations()
        self.killed = False
        self._near, self._far = socket.socketpair()
        self._far.send(b"x")  # always something to read: the loop need not wait
        self._batches = deque()
        self._grouping = None
        self._models = {
            target: ConvertedSource(analytic.Model(target), "the test", None)
            for target in ("apt", "pgt")
        }
        documents = {
            target: source_document(model.metadata, target_by_name(target))
            for target, model in self._models.items()
        }
        self.ready = {"device": "cpu", "models": documents}

    @property
    def pollable(self):
        return self._near.fileno()

    @property
    def n_batches(self):
        return len(self._batches)

    def describe(self, grouping):
        self._grouping = grouping

    def submit(self, frames):
        self._batches.append((time.monotonic() + self.delay, frames))

    def results(self):
        samples = []
        while self._batches and self._batches[0][0] <= time.monotonic():
            _, frames = self._batches.popleft()
            self.seconds.append(self.delay)
            samples += evaluate(self._models, frames, self._grouping)
        return samples

    def kill(self):
        self.killed = True

    def close(self):
        self._near.close()
        self._far.close()


def serve_here(settings, source, evaluator=None, *, stop=None, monitor=None):
    """Run the service without a child; its exit code."""
    view = Console(file=io.StringIO(), width=100)
    return Service(
        settings,
        lambda: source,
        monitor or Monitor(settings.run.directory, report=1000.0, console=view),
        stop or StopRequest(),
        lambda path: evaluator or InstantEvaluator(),
    ).run()


def fold_of(directory):
    """Everything that the fold of a run's journal holds, to the bit."""
    path = Path(directory) / "journal"
    identity, _ = read_header(path)
    spectrum = analytic.make_settings(directory).spectrum
    pipeline = rebuild(path, identity, spectrum)
    state = {
        f"{target}.{name}": array.tobytes()
        for target, arrays in pipeline.state().items()
        for name, array in arrays.items()
    }
    counts = (pipeline.n_frames, pipeline.n_segments, pipeline.n_missing)
    return state, counts, pipeline.kinetic_temperature
