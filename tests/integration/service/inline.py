"""Runs of the service with an instant evaluator, here or as a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from analytic import ScriptedSource, arrivals, description, make_settings, trajectory
from instant import serve_here

from mimyria.errors import MimyriaError
from mimyria_driver.signals import StopRequest
from mimyria_driver.sources import Ended, Started

N_FRAMES = 100


def whole_run(frames=None, **changes):
    frames = trajectory(N_FRAMES) if frames is None else frames
    return [Started(description(**changes)), *arrivals(frames), Ended("the end")]


def quiet_settings(directory, **sections):
    """Those of `analytic`, with a result at the end only."""
    spectrum = {"refresh": 1000.0, **sections.pop("spectrum", {})}
    return make_settings(directory, spectrum=spectrum, **sections)


def start(directory, n_frames=N_FRAMES, pause=0.015, refresh=1000.0, snapshot=300.0):
    """The same as a process of its own."""
    words = [directory, n_frames, pause, refresh, snapshot]
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)], stderr=subprocess.PIPE
    )


def main(directory, n_frames, pause, refresh, snapshot):
    """A driver with a scripted source."""
    source = ScriptedSource(whole_run(trajectory(int(n_frames))), pause=float(pause))
    settings = quiet_settings(
        Path(directory),
        spectrum={"refresh": float(refresh)},
        run={"snapshot": float(snapshot)},
    )
    with StopRequest() as stop:
        return serve_here(settings, source, stop=stop)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        sys.exit(main(*sys.argv[1:]))
    except MimyriaError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
