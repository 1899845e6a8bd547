"""Folders of tasks, and looks at processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def until(condition, seconds):
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def number(path: Path, seconds: float = 30) -> int:
    """Wait for a file with a process id."""
    until(path.exists, seconds)
    return int(path.read_text())


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Makes folders of tasks; their stand-ins can be imported by every process."""
    here = str(Path(__file__).parent)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", here + (os.pathsep + path if path else ""))

    def make(n_tasks):
        folders = [tmp_path / "tasks" / f"{index:04d}" for index in range(n_tasks)]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        return folders

    return make


@pytest.fixture
def look():
    """The three looks above, for test files that cannot import this one."""

    class Look:
        alive = staticmethod(alive)
        until = staticmethod(until)
        number = staticmethod(number)

    return Look
