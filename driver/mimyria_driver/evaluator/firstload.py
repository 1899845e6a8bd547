"""First load: a program that this machine does not know answers its example in a box.

A model file holds numbers and is only read. A deployed file is a TorchScript program:
the first time, another process loads it, which can write no file, start no process,
reach no network where the kernel allows it, and has bounds of memory and time
(`sandbox`). What passed is remembered by its digest, so that later starts cost nothing.

This finds programs that are broken or do not keep quiet; it is no proof against one
that behaves well the first time. Take models from people you trust.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mimyria import __version__
from mimyria.errors import ModelError

__all__ = ["known_models", "require_harmless"]

_MOST_OUTPUT: Final = 1 << 20
_START: Final = 120.0
"""Seconds for the imports of the process; what it may calculate is counted alone."""


def require_harmless(path: Path, seconds: float, say: Callable[[str], None]) -> None:
    """Try a deployed file in a sandbox, unless it is known or holds no program.

    Args:
        path: a file of either kind; one that is none is left to who loads it.
        seconds: time it may take; 0: do not try.
        say: takes a note for people.

    Raises:
        ModelError: it cannot be loaded, or does not answer its example.
    """
    if seconds <= 0 or not _is_program(path):
        return
    from mimyria.models.screening import require_arithmetic

    content = path.read_bytes()
    require_arithmetic(content, path)
    entry = f"{hashlib.sha256(content).hexdigest()} {__version__}"
    known = known_models()
    with contextlib.suppress(OSError):
        if entry in known.read_text().splitlines():
            return
    note = _try(path, seconds)
    if note:
        say(f"{path}: {note}")
    with contextlib.suppress(OSError):  # without the list it is tried every time
        known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(known, flags, 0o600)
        try:
            os.write(descriptor, f"{entry}\n".encode())
        finally:
            os.close(descriptor)


def known_models() -> Path:
    """The list of programs that have passed."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "mimyria" / "models-that-loaded"


def _is_program(path: Path) -> bool:
    from mimyria.models.archive import ZIP_ERRORS

    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith(".py") for name in file.namelist())
    except ZIP_ERRORS:
        return False


def _try(path: Path, seconds: float) -> str:
    """What the sandbox says of a program that passed, often nothing."""
    command = [
        sys.executable,
        "-m",
        "mimyria_driver.evaluator.sandbox",
        str(path),
        f"{seconds:g}",
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=seconds + _START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise ModelError(_too_slow(path, seconds)) from None
    return _verdict(path, seconds, process.returncode, output[-_MOST_OUTPUT:])


def _verdict(path: Path, seconds: float, code: int, output: bytes) -> str:
    if code == -signal.SIGXCPU:
        raise ModelError(_too_slow(path, seconds))
    lines = output.decode(errors="replace").splitlines()
    try:
        document = json.loads(lines[-1])
        error, note = str(document["error"]), str(document["note"])
    except (IndexError, ValueError, TypeError, KeyError):
        ending = f"signal {-code}" if code < 0 else f"code {code}"
        raise ModelError(
            f"{path} brought the process down that tried it ({ending}): it is broken "
            "or hostile. It was not used. Export the model again from its model file."
        ) from None
    if error:
        raise ModelError(error)
    return note


def _too_slow(path: Path, seconds: float) -> str:
    return (
        f"{path} did not answer its own example in {seconds:g} s, when it was tried in "
        "a process of its own. If the machine is that slow, raise "
        "models.first_load; else export the model again."
    )


def _environment() -> dict[str, str]:
    """No GPU, one thread, no kernel to be built: what can be done without files."""
    environment = dict(os.environ)
    environment.update(
        CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", MIMYRIA_KERNEL="torch"
    )
    return environment
