"""From `kernel.cpp` to a loaded library: compiler, cache, atomic files.

The name of a library holds a digest of all that it depends on, so that a new version,
a new compiler or another processor makes a new one, and a digest of its content, so
that a damaged one is never loaded. It is written beside and renamed: any number of
processes may build at the same time.
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

from mimyria.errors import KernelError, OutputError
from mimyria.files import replace_file

__all__ = ["ENTRIES", "cache_folder", "find_compiler", "load_kernel"]

_log = logging.getLogger(__name__)

ENTRIES: Final = ("mimyria_convolve_float", "mimyria_convolve_double")
"""Functions of the library."""

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
    prefix = f"kernel-{_digest(source, compiler)}-"
    cache = cache_folder()
    for path in sorted(cache.glob(prefix + "*.so")) if cache is not None else []:
        if path.name == prefix + _short_digest(path.read_bytes()) + ".so":
            return _loaded(path)
    # What is loaded stays loaded when its file is gone.
    with tempfile.TemporaryDirectory(prefix="mimyria-") as private:
        built = _built(source, compiler, Path(private))
        content = built.read_bytes()
        if cache is not None:
            kept = cache / f"{prefix}{_short_digest(content)}.so"
            try:
                replace_file(kept, content)
            except OutputError as error:
                _log.info("the kernel is not kept: %s", error)
            else:
                built = kept
        return _loaded(built)


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
    return _short_digest(b"\0".join(parts))


def _short_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _processor() -> str:
    """Kind of this processor: its architecture, name and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    kept = {line for line in lines if line.startswith(wanted)}
    return "\n".join([platform.machine(), *sorted(kept)])


def _built(source: bytes, compiler: str, folder: Path) -> Path:
    """Compile in a folder; the library."""
    code, library = folder / "kernel.cpp", folder / "kernel.so"
    code.write_bytes(source)
    for tuning in _TUNINGS:
        try:
            _run([compiler, *_FLAGS, *tuning, "-o", str(library), str(code)])
        except KernelError as error:
            failure = error
        else:
            _log.info("built the C++ kernel with %s", compiler)
            return library
    raise failure


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


def _loaded(path: Path) -> ctypes.CDLL:
    """The library at a path.

    Raises:
        KernelError: it cannot be loaded.
    """
    try:
        library = ctypes.CDLL(str(path))
        for name in ENTRIES:
            function = getattr(library, name)
            function.argtypes = (ctypes.c_void_p, ctypes.c_int64)
            function.restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise KernelError(f"the built kernel cannot be loaded: {error}.") from error
    return library
