"""Processes: programs of one job, started, watched and ended together.

It knows commands and exit codes, and nothing of spectra. Each program writes into a log
of its own, except the one that owns the terminal.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from mimyria.errors import EngineError

__all__ = ["Job", "Program"]

POLL_SECONDS = 0.1
TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class Program:
    """One program of a job.

    Attributes:
        name: what people call it.
        command: program and arguments.
        directory: where it runs.
        log: file for its output; None: it owns the terminal.
        environment: its environment; None: ours.
        successes: exit codes that are no failure.
    """

    name: str
    command: Sequence[str]
    directory: Path
    log: Path | None = None
    environment: Mapping[str, str] | None = None
    successes: tuple[int, ...] = (0,)


class Job:
    """Runs programs side by side; leaving the context ends what still runs."""

    def __init__(self, grace: float = 20.0) -> None:
        """An empty job.

        Args:
            grace: seconds a program gets between SIGTERM and SIGKILL.
        """
        self._grace = grace
        self._running: list[tuple[Program, subprocess.Popen[bytes]]] = []
        self._logs: list[IO[bytes]] = []

    def __enter__(self) -> Job:
        """The job itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what still runs, last started first."""
        for _, process in reversed(self._running):
            self._stop(process)
        for log in self._logs:
            log.close()

    def start(self, program: Program) -> None:
        """Start a program.

        Raises:
            EngineError: there is no such program.
        """
        output: IO[bytes] | None = None
        if program.log is not None:
            output = program.log.open("wb")
            self._logs.append(output)
        try:
            process = subprocess.Popen(
                program.command,
                cwd=program.directory,
                env=None if program.environment is None else dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
            )
        except FileNotFoundError as error:
            raise EngineError(
                f"The program '{program.command[0]}' ({program.name}) is not "
                "installed. `make engines` installs LAMMPS, `make install` the rest."
            ) from error
        self._running.append((program, process))

    def wait(self) -> None:
        """Until all have ended well.

        Raises:
            EngineError: one of them failed; the message ends with its last lines.
        """
        waiting = list(self._running)
        while waiting:
            for program, process in list(waiting):
                code = process.poll()
                if code is None:
                    continue
                if code not in program.successes:
                    raise EngineError(_failure(program, code))
                waiting.remove((program, process))
            time.sleep(POLL_SECONDS)

    def wait_for(self, path: Path, timeout: float) -> None:
        """Until a file is there that one of the programs makes.

        Raises:
            EngineError: it does not come, or a program ends before.
        """
        deadline = time.monotonic() + timeout
        while not path.exists():
            for program, process in self._running:
                code = process.poll()
                if code is not None:
                    raise EngineError(_failure(program, code))
            if time.monotonic() > deadline:
                raise EngineError(
                    f"Waited {timeout:.0f} s for '{path.name}', which did not appear."
                )
            time.sleep(POLL_SECONDS)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(self._grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _failure(program: Program, code: int) -> str:
    ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    if program.log is None:
        return f"{program.name} {ended}; its message stands above."
    lines = program.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    tail = " | ".join(line.strip() for line in lines if line.strip())
    return f"{program.name} {ended}. Last lines of {program.log}: {tail}"
