"""A folder with everything that the commands of the manual are given.

A finished run of the driver (two waters that vibrate, with formulas in place of
networks, so that no process has to start), labelled water, a campaign of a second.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from mimyria.frame import Frame
from mimyria.io import LabelledFrame, read_extxyz, write_extxyz
from mimyria.tensors import Tensors
from mimyria.units import BOLTZMANN, angular_frequency
from mimyria_driver.events import EventLog
from mimyria_driver.settings import parse_settings
from mimyria_driver.sources import Ended, Started
from tests.docs.pages import REPOSITORY

N_FRAMES, TIME_STEP, STRIDE = 1320, 0.5, 4
BANDS = (650.0, 1640.0, 3400.0)
TEMPERATURE = 300.0
DATA = REPOSITORY / "tests" / "data" / "water16-rpbe" / "water16-rpbe.extxyz"
DEMO = "demo-output/lammps/water/spectrum"
SERVICE = REPOSITORY / "tests" / "integration" / "service"


def vibrating(seed: int, n_frames: int = N_FRAMES) -> list[Frame]:
    """Two waters whose atoms swing about their places with thermal velocities."""
    rng = np.random.default_rng(seed)
    numbers = np.array([8, 1, 1, 8, 1, 1])
    one = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    places = np.concatenate([one + 1.0, one + 4.5])
    masses = np.where(numbers == 8, 15.999, 1.008)[:, np.newaxis]
    speed = np.sqrt(2 * BOLTZMANN * TEMPERATURE / masses / len(BANDS))
    omegas = np.array([angular_frequency(nu) for nu in BANDS])[:, None, None]
    phases = rng.uniform(0, 2 * np.pi, (3, 6, 3))
    frames = []
    for index in range(n_frames):
        angles = omegas * TIME_STEP * STRIDE * index + phases
        way = (np.sin(angles) / omegas).sum(axis=0)
        frames.append(
            Frame(
                numbers,
                places + speed * way,
                np.diag([9.0, 9.0, 9.0]),
                speed * np.cos(angles).sum(axis=0),
                STRIDE * index,
            )
        )
    return frames


def finished_run(folder: Path, frames: list[Frame]) -> None:
    """What the driver leaves of these frames."""
    sys.path.insert(0, str(SERVICE))
    try:
        analytic = importlib.import_module("analytic")
        serve_here = importlib.import_module("instant").serve_here
    finally:
        sys.path.remove(str(SERVICE))
    settings = {
        "run": {"directory": str(folder)},
        "source": {"kind": "lammps"},
        "models": {"apt": "python:analytic:make", "pgt": "python:analytic:make"},
        "spectrum": {"temperature": TEMPERATURE, "resolution": 20.0, "refresh": 1000.0},
        "groups": {"velocity_probes": 4},
    }
    events = [Started(analytic.description()), *analytic.arrivals(frames)]
    source = analytic.ScriptedSource([*events, Ended("the end")])
    # Pictures take longer than all the rest; `mimyria plot` is run by itself.
    with mock.patch("mimyria_driver.service.try_plots"), EventLog(folder) as events:
        assert serve_here(parse_settings(settings, folder.parent), source) == 0
        events.start()


def prepare(folder: Path) -> None:
    """Put everything into an empty folder."""
    frames = vibrating(seed=7)
    nothing = Tensors(None, None)
    stored = [LabelledFrame(frame, nothing, {}) for frame in frames]
    write_extxyz(folder / "water.extxyz", stored)
    finished_run(folder / "spectrum", frames)
    for name in ("run", "run/spectrum", "run1", "RUNDIR", DEMO):
        shutil.copytree(folder / "spectrum", folder / name)
    finished_run(folder / "run2", vibrating(seed=8, n_frames=400))
    rows = [
        f"{nu},{np.exp(-(((nu - 3400) / 100) ** 2))}" for nu in range(100, 4000, 10)
    ]
    (folder / "measured.csv").write_text("\n".join(["wavenumber,intensity", *rows]))
    for name in ("campaign.toml", "molecule.xyz"):
        shutil.copy(REPOSITORY / "inputs" / "tblite" / name, folder)
    write_extxyz(folder / "frames.extxyz", list(read_extxyz(DATA))[:2])
