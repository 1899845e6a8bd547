"""Cost of the shipped networks per frame of 64 waters, as CPU time of one thread.

    OMP_NUM_THREADS=1 python benchmarks/network.py [MODEL ...]

A frame is 192 atoms at the density of the liquid; the neighbour list is included. The
driver pays the sum of the two networks for every sampled frame.
"""

import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import torch

from mimyria.frame import Frame
from mimyria.models import load_model

WATER = Path(__file__).resolve().parents[1] / "inputs" / "ipi" / "water" / "init.xyz"
SHIPPED = ("water-compact-apt", "water-compact-pgt")
WARM_UP = 5
REPEATS = 20


def water():
    atoms = ase.io.read(WATER)
    cell = 12.417 * np.eye(3)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return Frame(numbers, atoms.positions, cell, None, step=0)


def milliseconds_per_frame(model, frame):
    for _ in range(WARM_UP):
        model.predict([frame])
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        model.predict([frame])
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times))


def main():
    torch.set_num_threads(1)
    frame = water()
    total = 0.0
    for name in sys.argv[1:] or SHIPPED:
        cost = milliseconds_per_frame(load_model(name), frame)
        total += cost
        print(f"{name:24s} {cost:7.1f} ms")
    print(f"{'sum':24s} {total:7.1f} ms")


if __name__ == "__main__":
    main()
