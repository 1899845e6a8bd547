"""Asking: what another program answers, within a time limit.

A program that hangs is ended with all that it has started; one that crashes is an
answer like any other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mimyria.errors import one_line

__all__ = ["Answer", "ask", "ask_python"]

_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said.

    Attributes:
        text: standard output.
        complaint: standard error.
        code: exit code, negative: the signal that ended it; None: it did not end, or
            could not be started.
        seconds: how long it took.
        trouble: why there is no answer; empty where there is one.
    """

    text: str
    complaint: str
    code: int | None
    seconds: float
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Whether it ended, and well."""
        return self.code == 0

    @property
    def reason(self) -> str:
        """Why it is not good, in one line: what it said at last."""
        if self.trouble:
            return self.trouble
        lines = [line.strip() for line in self.complaint.splitlines() if line.strip()]
        said = lines[-1] if lines else "it said nothing"
        if self.code is not None and self.code < 0:
            return f"it was ended by signal {-self.code} ({said})"
        return f"exit code {self.code}: {said}"


def ask(
    command: Sequence[str],
    seconds: float = _SECONDS,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """Start a program in an empty folder, without input, and read what it says.

    Args:
        command: the program and its arguments.
        seconds: when it is ended.
        environment: variables to set beside the present ones.
    """
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mimyria-") as folder:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
                text=True,
                errors="replace",
            )
        except OSError as error:
            took = time.monotonic() - begin
            return Answer("", "", None, took, f"cannot be started: {one_line(error)}")
        with process:
            return _listen(process, seconds, begin)


def ask_python(
    code: str,
    seconds: float = _SECONDS,
    environment: Mapping[str, str] | None = None,
) -> Answer:
    """The same with a text for this Python."""
    return ask([sys.executable, "-c", code], seconds, environment)


def _listen(process: subprocess.Popen[str], seconds: float, begin: float) -> Answer:
    try:
        text, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        text, complaint = process.communicate()
        took = time.monotonic() - begin
        return Answer(text, complaint, None, took, f"no answer within {seconds:g} s")
    except BaseException:  # Ctrl-C: leave nothing behind
        _end(process)
        raise
    return Answer(text, complaint, process.returncode, time.monotonic() - begin)


def _end(process: subprocess.Popen[str]) -> None:
    """End it with all that it has started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
