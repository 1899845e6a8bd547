"""Many replicas in one process, with an instant evaluator and scripted engines."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

from analytic import (
    ScriptedSource,
    arrivals,
    description,
    make_settings,
    trajectory,
)
from instant import InstantEvaluator, serve_here
from rich.console import Console

from mimyria_driver.labels import label
from mimyria_driver.monitor import Monitor
from mimyria_driver.replicas import Ensemble
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started


def spoilt(sample):
    """The same with wrong numbers."""
    currents = replace(sample.currents, dipole=1.001 * sample.currents.dipole)
    return replace(sample, currents=currents)


def frames_of(replica, n_frames=60):
    """Another trajectory for each replica, and another length."""
    return trajectory(n_frames + replica, seed=replica)


def whole_run(frames):
    return [Started(description()), *arrivals(frames), Ended("the end")]


def settings_for(directory, n_replicas, **sections):
    source = {"replicas": n_replicas, **sections.pop("source", {})}
    return make_settings(directory, source=source, **sections)


class Engines:
    """A scripted engine for each replica."""

    def __init__(self, frames=frames_of, pause=None):
        self.frames = frames
        self.pause = pause or (lambda replica: 0.0)
        self.sources = {}

    def __call__(self, settings):
        replica = int(settings.run.directory.name)
        events = whole_run(self.frames(replica))
        self.sources[replica] = ScriptedSource(events, self.pause(replica))
        return self.sources[replica]


def quiet_monitor(directory, **options):
    view = Console(file=io.StringIO(), width=100)
    return Monitor(directory, report=1000.0, console=view, **options)


def ensemble(settings, engines=None, evaluator=None, stop=None):
    """All replicas, ready to run."""
    return Ensemble(
        settings,
        quiet_monitor(settings.run.directory),
        stop or StopRequest(),
        make_source=engines or Engines(),
        make_evaluator=evaluator or InstantEvaluator,
    )


def single_runs(folder, n_replicas, frames=frames_of, **sections):
    """The same trajectories, each in a run of its own; their folders."""
    folders = [Path(folder) / label(number) for number in range(n_replicas)]
    for number, each in enumerate(folders):
        source = ScriptedSource(whole_run(frames(number)))
        settings = make_settings(each, spectrum={"refresh": 1000.0}, **sections)
        assert serve_here(settings, source) == 0
    return folders


def main(directory, n_replicas, pause):
    """A driver of its own, for tests that kill it."""
    engines = Engines(pause=lambda replica: float(pause))
    with StopRequest() as stop:
        return ensemble(
            settings_for(directory, int(n_replicas)), engines, stop=stop
        ).run()


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main(*sys.argv[1:]))
