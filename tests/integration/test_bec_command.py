"""`mimyria-driver bec` as its users start it: ends, errors, and one that stands by."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.integration.driven_input import ELEMENTS, driven_input, write_run
from tests.integration.driven_runs import TIMEOUT, start_ipi

pytestmark = pytest.mark.engine

STEPS = 40
CPU = ("--elements", "O", "--device", "cpu")
OUTPUTS = """\
  <trajectory filename='pos' format='bin'> positions </trajectory>
  <properties filename='time'> [ time ] </properties>"""


def command(*words: str, model: str = "python:bent_apt:make") -> list[str]:
    return [sys.executable, "-m", "mimyria_driver", "bec", model, *words]


def start_client(folder: Path, name: str) -> subprocess.Popen[bytes]:
    words = command(
        *("--address", f"unix:{folder}/bec", "--device", "cpu"),
        *("--elements", *ELEMENTS),
    )
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(words, cwd=folder, stderr=log)


def run(folder: Path, *words: str, **options: str) -> tuple[int, str]:
    done = subprocess.run(
        command(*words, **options),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done.returncode, done.stderr


def wait_for_steps(folder: Path, n_steps: int) -> None:
    path, deadline = folder / "o.time", time.monotonic() + TIMEOUT
    while not path.exists() or len(path.read_text().splitlines()) < n_steps:
        assert time.monotonic() < deadline, (folder / "ipi.log").read_text()
        time.sleep(0.01)


@pytest.mark.slow
def test_a_second_client_that_stands_by_takes_over_from_one_that_is_killed(
    ipi_program: str, short_directory: Path
) -> None:
    ends = []
    for names, latency in ((["quiet"], 1e-4), (["killed", "second"], 0.05)):
        folder = short_directory / names[0]
        folder.mkdir()
        write_run(folder, driven_input(OUTPUTS, steps=STEPS, latency=latency))
        clients = [start_client(folder, name) for name in names]
        engine = start_ipi(ipi_program, folder)
        try:
            if len(clients) == 2:
                wait_for_steps(folder, 10)
                assert engine.poll() is None
                clients[0].kill()
            assert clients[-1].wait(TIMEOUT) == 0
            assert engine.wait(TIMEOUT) == 0
        finally:
            for process in (engine, *clients):
                process.kill()
                process.wait(TIMEOUT)
        ends.append(np.fromfile(folder / "o.pos_0.bin", np.uint8))
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize(
    ("words", "model", "code", "text"),
    [
        ((), "python:bent_apt:make", 64, "--structure --elements is required"),
        (("--elements", "O", "Xy"), "python:bent_apt:make", 78, "element symbols"),
        (("--elements", "O", "--keys", "bec"), "none", 78, "Unknown key 'bec'"),
        (CPU, "python:bent_apt:absent", 78, "absent"),
        pytest.param(CPU, "absent.pt", 66, "absent.pt", marks=pytest.mark.slow),
        (("--structure", "absent.xyz"), "none", 78, "absent.xyz"),
        (
            (*CPU, "--patience", "0.5"),
            "python:bent_apt:make",
            75,
            "Nothing came from i-PI",
        ),
    ],
)
def test_what_cannot_work_ends_with_one_line_and_its_code(
    short_directory: Path, words: tuple[str, ...], model: str, code: int, text: str
) -> None:
    write_run(short_directory, "")
    found, said = run(
        short_directory, "--address", f"unix:{short_directory}/bec", *words, model=model
    )
    assert text in said
    assert found == code, said
