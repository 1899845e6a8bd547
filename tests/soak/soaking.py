"""An engine and a driver for long runs of small frames, each as its own process.

The engine is the real sender, with eight atoms in place of LAMMPS; the driver is the
whole service, with an evaluator that knows its answers at once. Both write down what
they use while they go on: memory and open files.

    python soaking.py engine ENDPOINT FRAMES REPORT
    python soaking.py driver DIRECTORY FRAMES REPORT
    python soaking.py driver-of-ipi DIRECTORY FRAMES REPORT ADDRESS
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.tensors import Tensors

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "service"))

STRIDE = 4
TIME_STEP = 0.5
N_ATOMS = 8
N_DIFFERENT = 997
MASS = 1.008
LOOKS = 400
RESOLUTION = 100.0
"""cm⁻¹: so few lags that all places for blocks have been used after 8192 frames."""
IPI_ELEMENTS = ["O", "H", "H"] * 3
PAGE = os.sysconf("SC_PAGE_SIZE")


@functools.cache
def tensors_of(n_atoms: int) -> Tensors:
    """The same for every frame."""
    return Tensors(
        apt=np.tile(0.3 * np.eye(3), (n_atoms, 1, 1)),
        pgt=np.full((n_atoms, 3, 3, 3), 0.1),
    )


class Allocated(ctypes.Structure):
    """glibc's struct mallinfo2, bytes: uordblks of its heaps are in use, and hblkhd."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]


class Usage:
    """What this process uses, looked at 400 times in a run.

    The pages that are resident with and without the free memory that the C library
    keeps for later: what a process holds is known to a few hundred kilobytes, since a
    page stays while one block in it is in use; what is kept changes by megabytes. And
    the bytes in use, which are exact, but without Python's own pools: these are all
    there is where PYTHONMALLOC=malloc.
    """

    def __init__(self, n_frames: int, report: str) -> None:
        self._every = max(1, n_frames // LOOKS)
        self._report = Path(report)
        self._begin = time.monotonic()
        # All there at once: the reports of a run must not look like a leak.
        self._rows = np.zeros((-(-n_frames // self._every), 6))
        self._library = ctypes.CDLL(None)  # glibc
        self._library.mallinfo2.restype = Allocated

    def look(self, index: int) -> None:
        if index % self._every:
            return
        now = time.monotonic() - self._begin
        n_files = len(os.listdir("/proc/self/fd"))
        resident = resident_bytes()
        self._library.malloc_trim(0)
        held = resident_bytes()
        allocated = self._library.mallinfo2()
        in_use = allocated.uordblks + allocated.hblkhd
        row = (index, now, resident, held, in_use, n_files)
        self._rows[index // self._every] = row

    def write(self) -> None:
        self._report.write_text(json.dumps({"rows": self._rows.tolist()}))


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def velocities() -> np.ndarray:
    """(N_DIFFERENT, N_ATOMS, 3) Å/fs at about 300 K."""
    rng = np.random.default_rng(5)
    return rng.normal(0.0, 0.0157, (N_DIFFERENT, N_ATOMS, 3))


class EightAtoms:
    """What the sender asks of an engine, without LAMMPS."""

    rank, n_ranks, n_local, n_atoms, n_beads = 0, 1, N_ATOMS, N_ATOMS, 0
    time_step = TIME_STEP

    def __init__(self) -> None:
        self.step = 0
        moving = velocities()
        base = np.random.default_rng(6).uniform(0, 8, (N_ATOMS, 3))
        self._velocities = [each.tobytes() for each in moving]
        self._positions = [(base + each).tobytes() for each in moving]

    def card(self, elements, stride):
        from mimyria_driver.runcard import RunCard

        return RunCard(
            "eight atoms", "real", elements, TIME_STEP, stride, 1.0, 1.0, (1, 1, 1)
        )

    def real(self, name):
        return 1.0

    def box(self):
        return [8.0, 0, 0, 0, 8.0, 0, 0, 0, 8.0], [0.0, 0.0, 0.0], (1, 1, 1)

    def ids(self):
        return np.arange(1, N_ATOMS + 1, dtype="<i4").tobytes()

    def types(self):
        return np.ones(N_ATOMS, "<i4").tobytes()

    def masses(self):
        return np.full(N_ATOMS, MASS).tobytes()

    def positions(self):
        return self._positions[self.step // STRIDE % N_DIFFERENT]

    def velocities(self):
        return self._velocities[self.step // STRIDE % N_DIFFERENT]


def engine(endpoint: str, n_frames: str, report: str) -> int:
    from mimyria_driver.lammps.sender import Sender

    usage = Usage(int(n_frames), report)
    atoms = EightAtoms()
    sender = Sender(endpoint, ("H",), STRIDE)
    for index in range(int(n_frames)):
        atoms.step = STRIDE * index
        sender.sample(atoms)
        usage.look(index)
    sender.finish()
    sender.close()
    usage.write()
    return 0


def driver(directory: str, n_frames: str, report: str) -> int:
    return serve(
        directory, n_frames, report, {"kind": "lammps", "check_velocities": "warn"}
    )


def driver_of_ipi(directory: str, n_frames: str, report: str, address: str) -> int:
    """The same with one atom more, and every step of a longer time step."""
    source = {
        "kind": "ipi",
        "address": address,
        "time_step": STRIDE * TIME_STEP,
        "elements": IPI_ELEMENTS,
    }
    return serve(directory, n_frames, report, source)


def serve(directory: str, n_frames: str, report: str, source: dict) -> int:
    from instant import InstantEvaluator
    from rich.console import Console

    from mimyria_driver.allocation import return_large_blocks
    from mimyria_driver.assembly import build_source
    from mimyria_driver.monitor import Monitor
    from mimyria_driver.service import Service
    from mimyria_driver.settings import parse_settings
    from mimyria_driver.signals import StopRequest

    return_large_blocks()  # as the command does
    # Every kind of work has been done before the second half of a run begins.
    often = 5.0 if int(n_frames) >= 100_000 else 1.0
    document = {
        "run": {"directory": directory, "report": 1000.0, "snapshot": often},
        "source": source,
        "models": {"joint": "instant"},
        "spectrum": {"resolution": RESOLUTION, "plots": False, "refresh": often},
    }
    settings = parse_settings(document, Path("/"))
    usage = Usage(int(n_frames), report)
    step_of_frame = settings.source.stride if source["kind"] == "ipi" else STRIDE

    def sample(frame, grouping):
        usage.look(frame.step // step_of_frame)
        tensors = tensors_of(frame.n_atoms)
        parts = contributions(frame, tensors, grouping)
        return Sample(currents(frame, tensors), parts)

    evaluator = InstantEvaluator(sample)
    console = Console(file=sys.stderr, force_terminal=False)
    with StopRequest() as stop:
        code = Service(
            settings,
            lambda: build_source(settings),
            Monitor(settings.run.directory, report=1000.0, console=console),
            stop,
            lambda log_path: evaluator,
        ).run()
    usage.write()
    return code


if __name__ == "__main__":
    mains = {"engine": engine, "driver": driver, "driver-of-ipi": driver_of_ipi}
    sys.exit(mains[sys.argv[1]](*sys.argv[2:]))
