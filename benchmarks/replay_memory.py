"""Memory and time of a long replay: reader, currents and correlators, no networks.

    python benchmarks/replay_memory.py [FRAMES] [extxyz|lammps|h5md]

Frames of a tiny system are written while they are read, through a pipe where the format
is text, so that nothing of the length of the run is stored. The resident memory is
taken at equal distances; its slope, over the second half, is what a run of any length
would add for each frame.
"""

import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from mimyria.correlators import Correlator
from mimyria.currents import dipole_velocity
from mimyria.io.trajectory import Trajectory
from mimyria.units import DIPOLE_CORRELATION_UNIT

N_ATOMS, N_LAGS, POINTS = 3, 1024, 20
ROWS = ["O 0 0 0", "H 0.96 0 0", "H -0.24 0.93 0"]


def write_text(path, kind, n_frames):
    rng = np.random.default_rng(1)
    with path.open("w") as file:
        for step in range(n_frames):
            velocities = rng.normal(scale=0.01, size=(N_ATOMS, 3))
            if kind == "extxyz":
                file.write(
                    f'3\nLattice="9 0 0 0 9 0 0 0 9" step={step} '
                    "Properties=species:S:1:pos:R:3:velocities:R:3 "
                    'velocities_unit="Angstrom/fs"\n'
                )
                names = ROWS
            else:
                file.write(
                    f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX "
                    "BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
                    "ITEM: ATOMS id element x y z vx vy vz\n"
                )
                names = [f"{i} {row}" for i, row in enumerate(ROWS, 1)]
            for name, row in zip(names, velocities, strict=True):
                file.write(f"{name} {row[0]:.6f} {row[1]:.6f} {row[2]:.6f}\n")


def write_h5md(path, n_frames):
    import h5py

    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        for name, unit in (("position", "Angstrom"), ("velocity", "Angstrom fs-1")):
            shape = (n_frames, N_ATOMS, 3)
            data = group.create_dataset(f"{name}/value", shape, "f4", chunks=(64, 3, 3))
            data.attrs["unit"] = unit
            for begin in range(0, n_frames, 8192):
                part = data[begin : begin + 8192].shape
                data[begin : begin + 8192] = rng.normal(scale=0.01, size=part)
        group["box/edges"] = [9.0, 9.0, 9.0]
        group["species"] = [8, 1, 1]


def resident_kilobytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def replay(path, kind, n_frames):
    correlator = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    apt = np.multiply.outer([-0.8, 0.4, 0.4], np.eye(3))
    options = {"velocities_unit": "Angstrom/fs"} if kind == "lammps" else {}
    trajectory = Trajectory(path, kind, **options)
    every = max(n_frames // POINTS, 1)
    memory = []
    begin = time.perf_counter()
    for index, frame in enumerate(trajectory, 1):
        correlator.push(dipole_velocity(apt, frame.velocities))
        if index % every == 0:
            memory.append((index, resident_kilobytes()))
    seconds = time.perf_counter() - begin
    assert correlator.n_samples == n_frames
    return np.array(memory), seconds


def main():
    n_frames = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    kinds = sys.argv[2:] or ["lammps", "h5md", "extxyz"]
    print(f"{n_frames} frames of {N_ATOMS} atoms, {N_LAGS} lags")
    print("format    begin / MB   end / MB   slope / byte per frame   µs per frame")
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames"
            if kind == "h5md":
                write_h5md(path, n_frames)
            else:
                os.mkfifo(path)
                threading.Thread(
                    target=write_text, args=(path, kind, n_frames), daemon=True
                ).start()
            memory, seconds = replay(path, kind, n_frames)
        half = memory[len(memory) // 2 :]
        slope = np.polyfit(half[:, 0], 1024 * half[:, 1], 1)[0]
        print(
            f"{kind:8s} {memory[0, 1] / 1024:11.1f} {memory[-1, 1] / 1024:10.1f} "
            f"{slope:24.2f} {1e6 * seconds / n_frames:14.1f}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak of the process: {peak:.1f} MB")


if __name__ == "__main__":
    main()
