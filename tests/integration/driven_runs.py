"""Runs of a real i-PI with a client of ours in this process, and what they print."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from ase.geometry import cellpar_to_cell

from mimyria.tensorsources import ConvertedSource, Predictor
from mimyria_driver.driven.answers import Answers
from mimyria_driver.driven.client import DrivenClient
from mimyria_driver.driven.way import Way
from tests.integration.driven_input import ELEMENTS, write_run

__all__ = [
    "NUMBERS",
    "TIMEOUT",
    "cell_of_run",
    "driven",
    "read_bin",
    "serve",
    "source_of",
    "start_ipi",
]

TIMEOUT = 90.0
NUMBERS = np.array([atomic_numbers[each] for each in ELEMENTS])


def source_of(folder: Path, function: str = "make") -> Predictor:
    names: dict[str, object] = {}
    exec(compile((folder / "bent_apt.py").read_text(), "bent_apt.py", "exec"), names)
    make = names[function]
    assert callable(make)
    return ConvertedSource(make("apt", "cpu"), "bent")


def start_ipi(
    ipi: str, folder: Path, begin: str = "input.xml"
) -> subprocess.Popen[str]:
    with (folder / "ipi.log").open("a") as log:
        return subprocess.Popen(
            [ipi, "-S", f"{folder}/", begin],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def serve(
    folder: Path,
    answers: Answers,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    deadline = time.monotonic() + TIMEOUT
    client = DrivenClient(f"unix:{folder}/bec", answers, max_atoms=1000)
    return client.serve(lambda: is_over() or time.monotonic() > deadline)


def driven(
    ipi: str,
    folder: Path,
    text: str,
    keys: Sequence[str] = ("BEC",),
    *,
    source: Predictor | None = None,
    way: Way | None = None,
    photons: int = 0,
) -> Answers:
    """Run i-PI to its end with a client in this process."""
    write_run(folder, text, photons)
    process = start_ipi(ipi, folder)
    answers = Answers(source or source_of(folder), NUMBERS, keys, way)
    try:
        assert serve(folder, answers), (folder / "ipi.log").read_text()
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait(TIMEOUT)
    return answers


def read_bin(path: Path, n_frames: int, photons: int = 0) -> np.ndarray:
    """Arrays (n_frames, n_atoms, 3) in atomic units."""
    frames = np.frombuffer(path.read_bytes(), np.uint8).reshape(n_frames, -1)
    values = frames[:, 80 : 80 + 24 * (len(ELEMENTS) + photons)].copy()
    return values.view(np.float64).reshape(n_frames, -1, 3)


def cell_of_run() -> np.ndarray:
    """(3, 3) Å — rows, from the lengths and angles of init.xyz."""
    return cellpar_to_cell([20, 22, 24, 80, 75, 70])
