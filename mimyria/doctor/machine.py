"""Machine: processors, memory, the disk of the run folder, limits, locale."""

from __future__ import annotations

import contextlib
import locale
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mimyria.doctor.finding import Finding

__all__ = [
    "look_at_disk",
    "look_at_limits",
    "look_at_memory",
    "look_at_processors",
    "sync_times",
]

_THREADS: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "SLURM_CPUS_PER_TASK",
    "SLURM_CPUS_ON_NODE",
)
_GIB: Final = 1 << 30
_LEAST_MEMORY: Final = 2.0  # GiB
_LEAST_SHARED: Final = 0.0625
_LEAST_ROOM: Final = 1.0
_LEAST_FILES: Final = 256
_SLOW_SYNC: Final = 0.05
"""s; frames are acknowledged after a sync, and a window of frames waits for one."""
_SYNCS: Final = 20
_SYNC_SECONDS: Final = 2.0
_BLOCK: Final = bytes(4096)


def look_at_processors() -> Iterator[Finding]:
    """How many there are for us, how busy they are, and settings of threads."""
    all_of_them = os.cpu_count() or 1
    ours = all_of_them
    if hasattr(os, "sched_getaffinity"):
        ours = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > 1.5 * all_of_them
    yield Finding(
        "processors",
        f"{ours} of {all_of_them} for this process, load {load:.1f}",
        f"a load below {all_of_them}",
        "warning" if busy else "ok",
        "others use the machine: what is measured below is too slow" if busy else "",
        {"processors": ours, "load": load},
    )
    found = [
        f"{name}={_short(os.environ[name])}" for name in _THREADS if name in os.environ
    ]
    asked = os.environ.get("OMP_NUM_THREADS", "")
    many = asked.isdigit() and int(asked) > ours
    yield Finding(
        "threads",
        ", ".join(found) or "no variable is set; models.threads of run.toml decides",
        f"at most {ours}",
        "warning" if many else "ok",
        f"export OMP_NUM_THREADS={ours}" if many else "",
    )


def _short(value: str) -> str:
    return value if len(value) <= 16 and value.replace(",", "").isalnum() else "…"


def look_at_memory() -> Iterator[Finding]:
    """Memory that is free, and shared memory, which MPI takes."""
    free = _free_memory()
    if free is not None:
        little = free < _LEAST_MEMORY
        yield Finding(
            "memory",
            f"{free:.1f} GiB free",
            f"{_LEAST_MEMORY:g} GiB",
            "warning" if little else "ok",
            "networks of large systems may not fit" if little else "",
            {"free_GiB": free},
        )
    shared = Path("/dev/shm")
    if shared.is_dir():
        room = shutil.disk_usage(shared).free / _GIB
        little = room < _LEAST_SHARED
        yield Finding(
            "shared memory",
            f"{room:.2g} GiB free in /dev/shm",
            "64 MiB",
            "warning" if little else "ok",
            "MPI in a container may fail: docker run --shm-size=1g" if little else "",
            {"free_GiB": room},
        )


def _free_memory() -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / (1 << 20)
    return None


def look_at_disk(folder: Path) -> Iterator[Finding]:
    """Room, and how long a sync takes: each acknowledgement waits for one."""
    room = shutil.disk_usage(folder).free / _GIB
    little = room < _LEAST_ROOM
    yield Finding(
        "room",
        f"{room:.1f} GiB free in {folder}",
        f"{_LEAST_ROOM:g} GiB (a million frames take 0.13 GB)",
        "warning" if little else "ok",
        "make room, or give run.directory another place" if little else "",
        {"free_GiB": room},
    )
    times = sync_times(folder)
    median, longest = statistics.median(times), max(times)
    slow = median > _SLOW_SYNC
    yield Finding(
        "sync to disk",
        f"{1e3 * median:.2g} ms (median of {len(times)}), at most "
        f"{1e3 * longest:.2g} ms",
        f"below {1e3 * _SLOW_SYNC:g} ms",
        "warning" if slow else "ok",
        "frames are acknowledged late: put run.directory on a local disk, or raise "
        "run.credit"
        if slow
        else "",
        {"median_s": median, "longest_s": longest},
    )


def sync_times(folder: Path) -> list[float]:
    """How long it takes to make 4 KiB safe, s, again and again for two seconds at most.

    Raises:
        OSError: nothing can be written there.
    """
    times: list[float] = []
    begin = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        while len(times) < _SYNCS and time.perf_counter() - begin < _SYNC_SECONDS:
            start = time.perf_counter()
            file.write(_BLOCK)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return times


def look_at_limits() -> Iterator[Finding]:
    """Open files, and whether the terminal has more than ASCII."""
    with contextlib.suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        few = soft != resource.RLIM_INFINITY and soft < _LEAST_FILES
        yield Finding(
            "open files",
            "unlimited"
            if soft == resource.RLIM_INFINITY
            else f"{soft} (at most {hard})",
            f"{_LEAST_FILES}",
            "warning" if few else "ok",
            f"ulimit -n {_LEAST_FILES}" if few else "",
        )
    encoding = (sys.stdout.encoding or locale.getpreferredencoding(False)).lower()
    plain = "utf" not in encoding
    yield Finding(
        "locale",
        encoding,
        "utf-8",
        "warning" if plain else "ok",
        "export LANG=C.UTF-8, or text is shown in ASCII" if plain else "",
    )
