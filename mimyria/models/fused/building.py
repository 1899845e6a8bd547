"""From `kernel.cpp` to a loaded library: compiler, cache, atomic files.

The library is kept under a digest of all that it depends on, so that a new version, a
new compiler or another processor makes a new one; it is written beside and renamed, so
that any number of processes may build at the same time.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Final

from mimyria.errors import KernelError

__all__ = ["cache_folder", "find_compiler", "load_kernel"]

_log = logging.getLogger(__name__)

_COMPILERS: Final = ("g++", "c++", "clang++")
_FLAGS: Final = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-Wno-psabi")
# What makes a compiler use all of this processor, the first one that it accepts.
_TUNINGS: Final = (("-march=native",), ("-mcpu=native",), ())
_TIMEOUT: Final = 300


def load_kernel() -> ctypes.CDLL:
    """The library for this processor, from the cache or newly built.

    Raises:
        KernelError: there is no compiler, or what it makes cannot be used.
    """
    source = (resources.files("mimyria.models.fused") / "kernel.cpp").read_bytes()
    compiler = find_compiler()
    name = f"kernel-{_digest(source, compiler)}.so"
    folder = cache_folder()
    if folder is not None:
        library = _loaded(folder / name)
        if library is not None:
            return library
    private = folder is None
    folder = folder or Path(tempfile.mkdtemp(prefix="mimyria-"))
    try:
        _build(source, compiler, folder / name)
        library = _loaded(folder / name)
    finally:
        if private:  # what is loaded stays loaded
            shutil.rmtree(folder, ignore_errors=True)
    if library is None:
        raise KernelError(f"{compiler} made a library that cannot be loaded.")
    return library


def find_compiler() -> str:
    """Path of the C++ compiler: `$CXX`, or the first of the usual names.

    Raises:
        KernelError: there is none.
    """
    wishes = [os.environ["CXX"]] if os.environ.get("CXX") else _COMPILERS
    for wish in wishes:
        found = shutil.which(wish)
        if found is not None:
            return found
    raise KernelError(
        f"no C++ compiler was found (looked for {', '.join(wishes)}). Install g++, or "
        "name a compiler in the environment variable CXX."
    )


def cache_folder() -> Path | None:
    """Folder for libraries, made if need be; None where it cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(base).expanduser() / "mimyria"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: no home
        return None
    return folder if os.access(folder, os.W_OK) else None


def _digest(source: bytes, compiler: str) -> str:
    """Names a build by everything that changes it."""
    parts = [source, _run([compiler, "--version"]).encode(), _processor().encode()]
    parts += [flag.encode() for flag in (*_FLAGS, *sum(_TUNINGS, ()))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def _processor() -> str:
    """Kind of this processor: its architecture, name and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    kept = {line for line in lines if line.startswith(wanted)}
    return "\n".join([platform.machine(), *sorted(kept)])


def _build(source: bytes, compiler: str, target: Path) -> None:
    """Compile beside `target`, then rename."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        code, built = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        code.write_bytes(source)
        for tuning in _TUNINGS:
            try:
                _run([compiler, *_FLAGS, *tuning, "-o", str(built), str(code)])
                break
            except KernelError as error:
                failure = error
        else:
            raise failure
        os.replace(built, target)
    _log.info("built the C++ kernel with %s", compiler)


def _run(command: list[str]) -> str:
    """Output of a command.

    Raises:
        KernelError: it cannot be run or fails.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"{command[0]} cannot be run: {error}.") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        reason = next((line for line in lines if "error" in line), "no message")
        raise KernelError(f"{command[0]} cannot build the kernel: {reason}.")
    return done.stdout


def _loaded(path: Path) -> ctypes.CDLL | None:
    """The library at a path, or None where there is no usable one."""
    if not path.exists():
        return None
    try:
        library = ctypes.CDLL(str(path))
        for name in ("mimyria_convolve_float", "mimyria_convolve_double"):
            function = getattr(library, name)
            function.argtypes = (ctypes.c_void_p, ctypes.c_int64)
            function.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library
