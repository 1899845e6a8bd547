"""Long runs: what a frame leaves behind must not grow (L1), nor what a job does (L2).

The short version has the same assertions as the long one; `make soak` runs the latter.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mimyria.storage import read_result
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import rebuild
from mimyria_driver.records import live_records, read_header
from mimyria_driver.settings import SpectrumSettings

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")
STRIDE = 4
MIB = 1 << 20
WARM = 0.3
"""Part of a run after which nothing may grow but the tables of fixed length."""
DIGESTS = 65_536
"""Frames that are remembered by their digest: until then tables still fill."""
BYTES_A_DIGEST = 1000
FRAMES_OF_A_JOB = 1500
SECONDS_OF_A_JOB = 3.0
SLOPE = 1.0 * MIB
"""Bytes that 10⁵ frames may add once all tables are full."""


def start(role: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "soaking.py"), role, *map(str, arguments)]
    )


def soak(folder: Path, n_frames: int, timeout: float) -> dict[str, np.ndarray]:
    """Both processes to their end; what each has used."""
    directory = folder / "run"
    reports = {role: folder / f"{role}.json" for role in ("driver", "engine")}
    driver = start("driver", directory, n_frames, reports["driver"])
    engine = start("engine", directory / "endpoint.json", n_frames, reports["engine"])
    try:
        assert engine.wait(timeout) == 0
        assert driver.wait(60.0) == 0
    finally:
        for process in (engine, driver):
            process.kill()
            process.wait()
    return {
        role: np.array(json.loads(path.read_text())["rows"])
        for role, path in reports.items()
    }


def check_usage(role: str, rows: np.ndarray) -> str:
    """Open files are constant, and memory but for tables that fill."""
    frames, seconds, resident, files = rows.T
    warm = frames >= WARM * frames[-1]
    # A connection that is made anew, on a busy machine, has two sockets for a moment.
    usual = np.median(files[warm])
    assert files[-1] == usual, f"{role}: open files {sorted(set(files[warm]))}"
    assert files[warm].max() <= usual + 8, f"{role}: {files[warm].max()} open files"
    late = warm & (frames > DIGESTS)
    if late.sum() < 10:  # a short run: the tables are still filling
        growth = float(np.polyfit(frames[warm], resident[warm], 1)[0])
        limit = BYTES_A_DIGEST
    else:
        growth = float(np.polyfit(frames[late], resident[late], 1)[0])
        limit = SLOPE / 1e5
    said = (
        f"{role}: {frames[-1]:.0f} frames in {seconds[-1]:.0f} s, "
        f"{resident[-1] / MIB:.1f} MiB (from {resident[0] / MIB:.1f}), "
        f"{growth:+.1f} bytes a frame, {files[-1]:.0f} open files"
    )
    assert growth <= limit, said
    return said


def check_run(directory: Path, n_frames: int) -> None:
    """Every frame once, the file as long as it must be, the result its fold."""
    path = directory / "journal"
    identity, start_of_records = read_header(path)
    steps = np.concatenate([chunk["step"] for chunk in live_records(path)])
    np.testing.assert_array_equal(steps, STRIDE * np.arange(n_frames))
    size = start_of_records + n_frames * identity.record_size
    assert path.stat().st_size == size
    again = rebuild(path, identity, SpectrumSettings(resolution=50.0)).result({})
    result = read_result(directory / "spectrum.h5")
    for name in ("dipole", "polarizability"):
        np.testing.assert_array_equal(
            getattr(result, name).values, getattr(again, name).values
        )
    status = read_status(directory)
    assert (status["state"], status["durable"]) == ("ended", n_frames)
    assert (status["duplicates"], status["missing"], status["segments"]) == (0, 0, 1)


@pytest.mark.parametrize(
    "n_frames",
    [
        20_000,
        pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_memory_and_open_files_stay_constant(n_frames: int) -> None:
    # The short run in memory: what is measured there is not the disk.
    place = MEMORY if n_frames < 100_000 and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mim-", dir=place) as name:
        used = soak(Path(name), n_frames, timeout=60.0 + n_frames / 150)
        said = [check_usage(role, rows) for role, rows in used.items()]
        check_run(Path(name) / "run", n_frames)
        sys.stdout.write("\n".join(said) + "\n")


def one_job(rng: random.Random, directory: Path, report: Path, engine) -> str:
    """A driver with a time limit; most are warned before it, some just die."""
    driver = start("driver", directory, FRAMES_OF_A_JOB, report)
    try:
        wait_for_progress(directory, driver, engine)
        try:
            driver.wait(rng.uniform(0.2, SECONDS_OF_A_JOB))
        except subprocess.TimeoutExpired:
            last_words = rng.random() < 0.7
            driver.send_signal(signal.SIGUSR1 if last_words else signal.SIGKILL)
        return {0: "ended", 75: "warned", -9: "killed"}[driver.wait(60.0)]
    finally:
        driver.kill()
        driver.wait()


def wait_for_progress(directory: Path, driver, engine) -> None:
    """Until this job has written something, or one of the two has ended."""
    path = directory / "journal"
    before = path.stat().st_size if path.exists() else 0
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        if driver.poll() is not None or engine.poll() is not None:
            return
        if path.exists() and path.stat().st_size > max(before, 10_000):
            return
        time.sleep(0.05)
    raise AssertionError("the job got nowhere in a minute")


@pytest.mark.parametrize(
    "n_jobs",
    [
        pytest.param(8, marks=pytest.mark.slow),
        pytest.param(168, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_a_week_of_short_jobs_is_one_run(n_jobs: int) -> None:
    rng = random.Random(7)
    n_frames = n_jobs * FRAMES_OF_A_JOB
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder, directory = Path(name), Path(name) / "run"
        engine = start(
            "engine", directory / "endpoint.json", n_frames, folder / "engine.json"
        )
        endings: list[str] = []
        try:
            while engine.poll() is None:
                report = folder / "driver.json"
                endings.append(one_job(rng, directory, report, engine))
                assert len(endings) <= 20 * n_jobs
            assert engine.returncode == 0
        finally:
            engine.kill()
            engine.wait()
        assert endings[-1] == "ended"
        assert {"warned", "killed"} <= set(endings)
        check_run(directory, n_frames)
        sys.stdout.write(f"{len(endings)} jobs: {Counter(endings)}\n")
