"""Sandbox: the process that tries an unknown deployed file, and says how it went.

Its last line on stdout is `{"error": ..., "note": ...}`, both empty if all is well. It
takes every right away from itself before the first byte of the file is run. Source:
docs/operation.md, "The device".
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from mimyria.errors import MimyriaError

if TYPE_CHECKING:
    from mimyria.models import TensorModel

__all__ = ["main"]

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_MEMORY: Final = 8 << 30
"""Bytes beyond what is mapped before the file is read."""
_ROTATION_TOLERANCE: Final = 1e-3


def main(path: Path, seconds: float) -> None:
    """Try one file."""
    # Of one thread only, so before torch; without the right to it, it stays as it is.
    _leave_the_network()
    from mimyria.models import load_model

    answer = os.dup(1)  # what the program prints is not taken for the answer
    os.dup2(2, 1)
    _lower_limits(seconds)
    error = note = ""
    try:
        note = _is_equivariant(load_model(path))
    except MimyriaError as problem:
        error = str(problem)
    except MemoryError:
        error = f"{path} wants more than {_MEMORY >> 30} GiB for its own example."
    line = json.dumps({"error": error, "note": note})
    os.write(answer, f"\n{line}\n".encode())
    os._exit(0)


def _leave_the_network() -> bool:
    """Enter a network namespace without any interface, if the kernel lets us."""
    with contextlib.suppress(OSError, AttributeError):
        unshare = ctypes.CDLL(None, use_errno=True).unshare
        for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET):
            if unshare(flags) == 0:
                return True
    return False


def _lower_limits(seconds: float) -> None:
    """No file grows, no process starts, memory and processor time are bounded."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * resource.getpagesize() + _MEMORY
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = math.ceil(used.ru_utime + used.ru_stime + seconds)
    for what, soft, hard in (
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # SIGXCPU at the first, which has a name
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, 0, 0),
    ):
        with contextlib.suppress(OSError, ValueError):  # a lower limit is there
            resource.setrlimit(what, (soft, hard))


def _is_equivariant(model: TensorModel) -> str:
    """A note if the answer to the turned example is not the turned answer."""
    example = model.example
    if example is None:
        return ""
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    frame = example.frame
    turned = type(frame)(
        frame.numbers,
        frame.positions @ rotation.T,
        frame.cell @ rotation.T,
        None,
        frame.step,
        pbc=frame.pbc,
    )
    (first,) = model.predict([frame], [example.charge])
    (second,) = model.predict([turned], [example.charge])
    wanted = first.rotated(rotation).columns(model.targets)
    off = np.abs(second.columns(model.targets) - wanted).max()
    size = np.abs(wanted).max()
    if off <= _ROTATION_TOLERANCE * size:
        return ""
    return (
        f"turned with the atoms, its tensors should turn along, but are off by "
        f"{off / size:.1e} of the largest; spectra will depend on how the cell lies"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
