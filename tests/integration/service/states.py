"""A driver as its own process that stays in one state, and says when it is there."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from instant import InstantEvaluator

from mimyria.cli.errors import run_command
from mimyria_driver import service
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

N_FRAMES = 24
MIDDLE = 12


def there():
    os.write(1, b"there\n")


class Source(ScriptedSource):
    """Calls a function once, when so many frames have been sent."""

    def __init__(self, events, at, act):
        super().__init__(events)
        self.at = at
        self.act = act

    def receive(self):
        if self._sent >= self.at and self.act is not None:
            act, self.act = self.act, None
            act()
        return super().receive()


class HungEvaluator(InstantEvaluator):
    """Takes half of the frames and answers the rest never."""

    n_submitted = 0

    def submit(self, frames, *, twice=False):
        self.n_submitted += len(frames)
        if self.n_submitted > MIDDLE:
            if self.delay == 0.0:
                there()
            self.delay = 1e9
        super().submit(frames)


def hang_disk():
    def hang(descriptor):
        there()
        time.sleep(600)

    os.fdatasync = hang


def limit_memory():
    """No more than now, and then ask for more than that."""
    there()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + (8 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    try:
        bytearray(64 << 20)
    except MemoryError:
        os.write(2, b"MemoryError was met\n")
        raise


def listen(directory, endpoint):
    """A driver for an engine at a socket."""
    settings = make_settings(directory, source={"endpoint": endpoint})
    service.Evaluator = lambda *arguments: InstantEvaluator()
    with StopRequest() as stop:
        return service.run(settings, stop=stop)


def run(state, directory, *more):
    if state == "socket":
        return listen(directory, *more)
    report = float(os.environ.get("MIMYRIA_TEST_REPORT", "1000"))
    settings = make_settings(directory, run={"report": report})
    frames = [Started(description()), *arrivals(trajectory(N_FRAMES)), Ended("the end")]
    evaluator = InstantEvaluator()
    source = ScriptedSource(frames)
    if state == "loading":
        evaluator.ready = None
    elif state == "waiting":
        source = Source([], 0, there)
    elif state == "hung evaluation":
        evaluator = HungEvaluator()
    elif state == "hung disk":
        source = Source(frames, MIDDLE, hang_disk)
    elif state == "slow":
        source = Source(frames, MIDDLE, there)
        source.pause = 0.1
    elif state == "memory limit":
        source = Source(frames, MIDDLE, limit_memory)
    service.Evaluator = lambda *arguments: evaluator
    with StopRequest() as stop:
        if state == "loading":
            there()
        return service.run(settings, source=source, stop=stop)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(run_command(lambda given: run(*given), arguments, debug=False))
