"""Surroundings: the machine and the job that a driver runs in.

Everything here may be missing, and then is None; nothing here can end a run.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Surroundings",
    "boot_id",
    "folder_bytes",
    "free_bytes",
    "own_size",
    "process_runs",
]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a driver runs; the same for its whole life.

    Attributes:
        host: name of the machine.
        process: id of the process.
        boot: id of the boot of the machine, empty where it has none.
        job: id of the job, of Slurm; None: no job.
        job_restarts: how often the job was queued again.
        job_over: when the job is ended by its time limit, on the monotonic clock.
    """

    host: str
    process: int
    boot: str
    job: str | None
    job_restarts: int
    job_over: float | None

    @classmethod
    def look(cls, environment: Mapping[str, str] = os.environ) -> Surroundings:
        """Those of this process, now."""
        job_over = None
        with contextlib.suppress(KeyError, ValueError):
            left = float(environment["SLURM_JOB_END_TIME"]) - time.time()
            job_over = time.monotonic() + left
        restarts = environment.get("SLURM_RESTART_COUNT", "0")
        return cls(
            socket.gethostname(),
            os.getpid(),
            boot_id(),
            environment.get("SLURM_JOB_ID"),
            int(restarts) if restarts.isdigit() else 0,
            job_over,
        )


def boot_id() -> str:
    """Of the machine, since it was switched on: monotonic clocks compare within."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def process_runs(process: int) -> bool:
    """Whether a process of this machine is there, and not only left to be reaped."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # no /proc here, or gone meanwhile
        return True
    said = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    # A thread has a number too; in a container one of ours has easily that of a process
    # of the container before.
    is_thread = said.get("Tgid", str(process)) != str(process)
    return not is_thread and said.get("State", "")[:1] not in ("Z", "X")


def free_bytes(directory: Path) -> int | None:
    """Room on the disk of a folder, for users without privileges."""
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize
    return None


def folder_bytes(directory: Path, pattern: str) -> int:
    """Size of all files that match, and of those in folders that match."""
    total = 0
    with contextlib.suppress(OSError):
        for path in directory.glob(pattern):
            paths = path.iterdir() if path.is_dir() else [path]
            total += sum(each.stat().st_size for each in paths)
    return total


def own_size() -> tuple[int | None, int | None]:
    """Memory of this process in bytes, and the number of its open files."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd"))
        return pages * os.sysconf("SC_PAGESIZE"), files
    return None, None
