"""Long runs: what a frame leaves behind must not grow (L1), nor what a job does (L2).

The short version has the same assertions as the long one; `make soak` runs the latter.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimyria.storage import read_result
from mimyria_driver.identity import read_header
from mimyria_driver.monitor import read_status
from mimyria_driver.pipeline import rebuild
from mimyria_driver.reading import live_records
from mimyria_driver.settings import SpectrumSettings

HERE = Path(__file__).parent
MEMORY = Path("/dev/shm")
STRIDE = 4
RESOLUTION = 100.0
"""As in soaking.py."""
MIB = 1 << 20
WARM = 0.5
"""Part of a run after which nothing may grow."""
SLOPE = 1.0
"""MiB in an hour, at the rate of the run."""
BYTES_A_FRAME = 25.0
"""In use, for runs that are too short to see that slope; a record has 190."""
LONG = 900_000
"""Frames from which a run can."""
KEPT = 4 * MIB
"""What the C library may keep more at the end than it has kept before."""
PIECES = 10
CONFIDENCE = 1.86
"""Of Student's t with PIECES - 2 degrees of freedom: 95 % are below."""
FRAMES_OF_A_JOB = 1500
SECONDS_OF_A_JOB = 3.0
ENDINGS = {0: "ended", 75: "warned", -signal.SIGKILL: "killed", -signal.SIGUSR1: "late"}
"""By exit code; late: warned when all had been written and signals were given back."""
CREDIT = 12
"""Frames that an engine may have under way."""


def start(
    role: str, *arguments: object, allocator: str = "malloc"
) -> subprocess.Popen[bytes]:
    """A role of soaking.py as a process.

    Args:
        role: of soaking.py.
        arguments: of the role.
        allocator: "malloc" has the C library count each byte in use; "pymalloc" is
            how Python runs otherwise.
    """
    return subprocess.Popen(
        [sys.executable, str(HERE / "soaking.py"), role, *map(str, arguments)],
        env={**os.environ, "PYTHONMALLOC": allocator},
    )


def soak(folder: Path, n_frames: int, timeout: float) -> dict[str, np.ndarray]:
    """Both processes to their end; what each has used."""
    directory = folder / "run"
    reports = {role: folder / f"{role}.json" for role in ("driver", "engine")}
    started = functools.partial(
        start, allocator="pymalloc" if n_frames >= LONG else "malloc"
    )
    driver = started("driver", directory, n_frames, reports["driver"])
    engine = started("engine", directory / "endpoint.json", n_frames, reports["engine"])
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


def slope_of(times: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Least-squares slope and its standard error, from the least value of each piece.

    A result or a batch that is just being made comes and goes: the least of a tenth of
    a run is what stays, and a leak is in it as in every value.
    """
    x = np.array([piece.mean() for piece in np.array_split(times, PIECES)])
    y = np.array([piece.min() for piece in np.array_split(values, PIECES)])
    (slope, offset), spread = np.polyfit(x, y, 1), np.sum((x - x.mean()) ** 2)
    rest = y - slope * x - offset
    return float(slope), float(np.sqrt(np.sum(rest**2) / (PIECES - 2) / spread))


def check_usage(role: str, rows: np.ndarray) -> str:
    """Open files are constant, and memory is but for less than a MiB in an hour.

    Of the slope the upper end of its interval counts: a run that is too short or too
    noisy to tell does not pass. Pages come and go by hundreds of kilobytes as blocks
    are mixed in them, so that only a long run can be told by them; of a short one the
    bytes in use are counted.
    """
    frames, seconds, resident, held, in_use, files = rows.T
    warm = frames >= WARM * frames[-1]
    # A connection that is made anew, on a busy machine, has two sockets for a moment.
    usual = np.median(files[warm])
    assert files[-1] == usual, f"{role}: open files {sorted(set(files[warm]))}"
    assert files[warm].max() <= usual + 8, f"{role}: {files[warm].max()} open files"
    hours, mib = seconds[warm] / 3600, held[warm] / MIB
    slope, error = slope_of(hours, mib)
    a_frame, doubt = slope_of(frames[warm], in_use[warm])
    said = (
        f"{role}: {frames[-1]:.0f} frames in {seconds[-1]:.0f} s, holds "
        f"{mib[0]:.2f} to {mib[-1]:.2f} MiB in the second half, "
        f"{slope:+.2f} ± {error:.2f} MiB an hour; in use {a_frame:+.2f} ± {doubt:.2f} "
        f"bytes a frame; with what the C library keeps at most "
        f"{resident.max() / MIB:.1f} MiB; {files[-1]:.0f} open files"
    )
    if frames[-1] < LONG:
        assert a_frame + CONFIDENCE * doubt <= BYTES_A_FRAME, said
        return said
    assert slope + CONFIDENCE * error <= SLOPE, said
    quarters = np.array_split(resident, 4)
    assert quarters[3].max() <= quarters[1].max() + KEPT, said
    return said


def check_run(directory: Path, n_frames: int) -> dict[str, Any]:
    """Every frame once, the file as long as it must be, the result its fold.

    Returns:
        The status of the last driver.
    """
    path = directory / "journal"
    identity, start_of_records = read_header(path)
    steps = np.concatenate([chunk["step"] for chunk in live_records(path)])
    np.testing.assert_array_equal(steps, STRIDE * np.arange(n_frames))
    size = start_of_records + n_frames * identity.record_size
    assert path.stat().st_size == size
    again = rebuild(path, identity, SpectrumSettings(resolution=RESOLUTION)).result({})
    result = read_result(directory / "spectrum.h5")
    for name in ("dipole", "polarizability"):
        np.testing.assert_array_equal(
            getattr(result, name).values, getattr(again, name).values
        )
    status = read_status(directory)
    assert (status["state"], status["durable"]) == ("ended", n_frames)
    assert (status["missing"], status["segments"]) == (0, 1)
    return status


def rows_of(slope: float, noise: float, n_frames: int = 1_000_000) -> np.ndarray:
    """What a process of 100 MiB reports of so many frames, a million in 20 minutes.

    Args:
        slope: MiB an hour.
        noise: MiB.
    """
    frames = np.arange(0, n_frames, n_frames // 100)
    seconds = frames * 1.2e-3
    held = 100.0 + slope * seconds / 3600
    held += noise * np.random.default_rng(8).normal(size=len(frames))
    held *= MIB
    open_files = np.full(100, 20)
    return np.stack([frames, seconds, held + 2 * MIB, held, held, open_files], axis=1)


def test_a_slow_leak_is_found_and_noise_does_not_hide_it() -> None:
    assert "+0.00 ± 0.00 MiB an hour" in check_usage("driver", rows_of(0.0, 0.0))
    assert "driver" in check_usage("driver", rows_of(0.2, 0.05))
    for slope, noise in ((1.1, 0.0), (1.5, 0.05), (0.0, 2.0), (100.0, 2.0)):
        with pytest.raises(AssertionError, match="MiB an hour"):
            check_usage("driver", rows_of(slope, noise))
    kept = rows_of(0.0, 0.0)
    kept[90:, 2] += 5 * MIB
    with pytest.raises(AssertionError, match="with what the C library keeps"):
        check_usage("driver", kept)
    open_files = rows_of(0.0, 0.0)
    open_files[:, 5] += np.arange(100)
    with pytest.raises(AssertionError, match="open files"):
        check_usage("driver", open_files)


def test_a_short_run_is_told_by_the_bytes_in_use() -> None:
    mib_an_hour = BYTES_A_FRAME / MIB / (1.2e-3 / 3600)
    leaking, steady = rows_of(1.2 * mib_an_hour, 0.0, 20_000), rows_of(0.0, 0.0, 20_000)
    pages = steady.copy()
    pages[:, 2:4] = leaking[:, 2:4]
    assert "in use +0.00 ± 0.00 bytes a frame" in check_usage("driver", pages)
    assert "driver" in check_usage("driver", rows_of(0.0, 0.01, 20_000))
    for rows in (leaking, rows_of(0.0, 1.0, 20_000)):
        with pytest.raises(AssertionError, match="bytes a frame"):
            check_usage("driver", rows)


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
        assert check_run(Path(name) / "run", n_frames)["duplicates"] == 0
        sys.stdout.write("\n".join(said) + "\n")


def one_job(
    seconds: float, directory: Path, n_frames: int, report: Path, engine, *, warn: bool
) -> str:
    """A driver with a time limit, which is warned before it or just dies."""
    driver = start("driver", directory, n_frames, report)
    try:
        wait_for_progress(directory, driver, engine)
        try:
            driver.wait(seconds)
        except subprocess.TimeoutExpired:
            driver.send_signal(signal.SIGUSR1 if warn else signal.SIGKILL)
        return ENDINGS[driver.wait(60.0)]
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
                seconds = rng.uniform(0.2, SECONDS_OF_A_JOB)
                job = (seconds, directory, n_frames, report, engine)
                endings.append(one_job(*job, warn=len(endings) % 3 != 1))
                assert len(endings) <= 20 * n_jobs
            assert engine.returncode == 0
        finally:
            engine.kill()
            engine.wait()
        assert endings[-1] in ("ended", "late")
        assert {"warned", "killed"} <= set(endings)
        # What a killed driver had written and not yet confirmed comes again.
        assert check_run(directory, n_frames)["duplicates"] <= CREDIT
        sys.stdout.write(f"{len(endings)} jobs: {Counter(endings)}\n")
