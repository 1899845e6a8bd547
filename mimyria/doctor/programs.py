"""Programs beside Python: compilers, electronic-structure codes, the scheduler."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Final

from mimyria.doctor.asking import ask
from mimyria.doctor.finding import Finding

__all__ = ["look_at_codes", "look_at_compiler", "look_at_scheduler"]

_CODES: Final = {
    "CP2K": (("cp2k.psmp", "cp2k.ssmp", "cp2k.popt", "cp2k"), ("--version",)),
}
_VERSION: Final = re.compile(r"version:?\s+(?:CP2K version\s+)?(\S+)", re.IGNORECASE)


def look_at_compiler() -> Iterator[Finding]:
    """The C++ compiler, which the fast kernel of the CPU is built with."""
    from mimyria.errors import KernelError
    from mimyria.models.fused.building import find_compiler

    try:
        path = find_compiler()
    except KernelError as error:
        yield Finding(
            "C++ compiler",
            str(error).split(". ")[0],
            "g++, c++ or clang++",
            "warning",
            "install g++ (apt install g++): networks on the CPU are slower without",
        )
        return
    answer = ask([path, "--version"])
    version = answer.text.splitlines()[0] if answer.good and answer.text else ""
    yield Finding(
        "C++ compiler",
        f"{path}: {version or answer.reason}",
        "one that works",
        "ok" if answer.good else "warning",
        "" if answer.good else "name another one in CXX",
    )


def look_at_codes() -> Iterator[Finding]:
    """Programs that calculate reference tensors."""
    for name, (commands, arguments) in _CODES.items():
        path = next(filter(None, map(shutil.which, commands)), None)
        if path is None:
            text = f"not on PATH ({', '.join(commands)})"
            advice = "only for reference calculations with it (docs/codes.md)"
            yield Finding(name, text, "", "absent", advice)
            continue
        answer = ask([path, *arguments])
        match = _VERSION.search(answer.text)
        found = f"version {match[1]}" if match else answer.reason
        yield Finding(
            name,
            f"{path}: {found}",
            "a version",
            "ok" if match else "warning",
            "" if match else "run it by hand: it does not say which version it is",
        )


def look_at_scheduler() -> Iterator[Finding]:
    """Slurm, and whether its daemons answer."""
    path = shutil.which("sbatch")
    if path is None:
        yield Finding(
            "Slurm", "no sbatch on PATH", "", "absent", "only for jobs on a cluster"
        )
        return
    version = ask([path, "--version"])
    state = ask(["sinfo", "--noheader", "--format=%P %a %D"], 10.0)
    found = version.text.strip() or "sbatch"
    if not (version.good and state.good):
        yield Finding(
            "Slurm",
            f"{found} does not answer: {state.reason}",
            "daemons that answer",
            "absent",
            "only for jobs on a cluster: ask its administrators",
        )
        return
    parts = [line.split() for line in state.text.splitlines() if line.strip()]
    names = ", ".join(part[0] for part in parts[:4]) or "none"
    yield Finding("Slurm", f"{found}, partitions: {names}", "daemons that answer")
