"""Running one task in a process of its own, and cleaning up behind it.

A task that is killed, or crashes its interpreter, so costs itself and nothing else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from mimyria.errors import CalculationError
from mimyria.reference.execution.sessions import end_session

__all__ = ["Processes", "run_in_process"]

_LOG = "process.log"
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Processes:
    """Tasks that run in processes of this machine and can be ended all at once."""

    def __init__(self) -> None:
        """None runs yet."""
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._stopped = False

    def run(self, folder: str, task: str, threads: int) -> None:
        """Do one task; returns when it and all it started have ended.

        Raises:
            CalculationError: the process ended before the task did.
        """
        with self._lock:  # so that `stop` sees every process that was started
            if self._stopped:
                raise CalculationError(f"{Path(folder).name}: stopped before it began.")
            process = _start(folder, task, threads)
            self._running.add(process.pid)
        try:
            _wait(process)
        finally:
            end_session(process.pid)
            with self._lock:
                self._running.discard(process.pid)
                code = process.wait()
            if process.stdin is not None:
                process.stdin.close()
        if code != 0:
            raise CalculationError(_reason(Path(folder), code))

    def stop(self) -> None:
        """Kill what runs, and let nothing more begin."""
        with self._lock:
            self._stopped = True
            for pid in self._running:
                end_session(pid)


def run_in_process(folder: str, task: str, threads: int) -> None:
    """Do one task in a process of its own; a worker of a cluster calls this."""
    Processes().run(folder, task, threads)


def _start(folder: str, task: str, threads: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    with (Path(folder) / _LOG).open("wb") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mimyria.reference.execution.child",
                str(os.getpid()),
                task,
                folder,
            ],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end, and leave the process id in use where the system can.

    As long as the dead process is not collected its number is not given to another, so
    what is left of its session can be killed without hitting a stranger.
    """
    if sys.platform == "linux":
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _reason(folder: Path, code: int) -> str:
    if code < 0:
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
    else:
        how = f"ended with exit code {code}"
    log = folder / _LOG
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    said = f"; its last line is: {last}" if last else ""
    return f"{folder.name}: its process {how}{said} (see {log})."
