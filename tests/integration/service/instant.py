"""The service with an evaluator in its own process, for tests of everything else.

No child has to start, so a run takes a part of a second.
"""

from __future__ import annotations

import io
import socket
import time
from collections import deque
from pathlib import Path

import analytic
from rich.console import Console

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.tensors import Tensors
from mimyria_driver.durations import Durations
from mimyria_driver.evaluator import Verdict
from mimyria_driver.evaluator.gpustate import GpuState
from mimyria_driver.identity import read_header
from mimyria_driver.monitor import Monitor
from mimyria_driver.pipeline import rebuild
from mimyria_driver.service import Service
from mimyria_driver.signals import StopRequest

__all__ = ["InstantEvaluator", "exact_sample", "fold_of", "serve_here"]


def exact_sample(frame, grouping):
    """What the tensors of `analytic` make of a frame."""
    exact = Tensors(*(analytic.tensor(target, frame) for target in ("apt", "pgt")))
    parts = grouping and contributions(frame, exact, grouping)
    return Sample(currents(frame, exact), parts)


class InstantEvaluator:
    """The interface of the evaluator's handle, answered by a function.

    Attributes:
        largest: most frames that were with it at one time.
        killed: whether it was told to end at once.
    """

    restarts, wants_write, process_id = 0, False, -1
    repeated, unusual, last_unusual, mismatches = 0, 0, -1, 0
    gpu = GpuState()

    def __init__(self, sample=exact_sample, *, delay=0.0, species=(1, 8)):
        """Ready from the beginning.

        Args:
            sample: makes the sample of a frame, given the grouping.
            delay: seconds from a batch to its samples.
            species: atomic numbers that the models know.
        """
        document = {"name": "instant", "sha256": "c" * 64, "species": list(species)}
        self.ready = {
            "device": "cpu",
            "hardware": "none",
            "models": {target: dict(document) for target in ("apt", "pgt")},
        }
        self.delay = delay
        self.seconds = Durations()
        self.largest = 0
        self.killed = False
        self._sample = sample
        self._grouping = None
        self._batches = deque()  # when it is due, and its frames; of a canary None
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)

    @property
    def pollable(self):
        return self._here.fileno()

    @property
    def n_batches(self):
        return len(self._batches)

    def describe(self, grouping):
        self._grouping = grouping

    def submit(self, frames, *, twice=False):
        self._take(list(frames))
        self.largest = max(self.largest, sum(len(b or ()) for _, b in self._batches))

    def check(self):
        self._take(None)

    def results(self):
        answers = []
        while self._batches and self._batches[0][0] <= time.monotonic():
            _, frames = self._batches.popleft()
            self._here.recv(1)
            if frames is None:
                answers.append(Verdict(self.judge()))
                if answers[-1].reason:
                    self._forget()
                continue
            self.seconds.append(self.delay)
            answers += [self._sample(frame, self._grouping) for frame in frames]
        return answers

    def judge(self):
        """What a canary says."""
        return ""

    def kill(self):
        self.killed = True

    def close(self):
        self._here.close()
        self._there.close()

    def _forget(self):
        while self._batches:
            self._batches.popleft()
            self._here.recv(1)

    def _take(self, frames):
        self._batches.append((time.monotonic() + self.delay, frames))
        self._there.send(b"x")


def serve_here(settings, source, evaluator=None, *, stop=None, monitor=None):
    """Run the service without a child; its exit code.

    Args:
        source: a source, or what opens one.
    """
    view = Console(file=io.StringIO(), width=100)
    return Service(
        settings,
        source if callable(source) else lambda: source,
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
