"""What the hook costs LAMMPS: 3072 atoms, every fourth step, tensors that are zero.

    python benchmarks/lammps_overhead.py [--rounds 8] [--steps 200] [--lmp /usr/bin/lmp]

One process of LAMMPS runs blocks of steps with and without the hook in turns, so that
whatever else the machine does meets both alike; a driver takes all frames, with a null
model, and keeps them as it does in production. Needs an `lmp` with the PYTHON package
and two cores. The ratio of the loop times that LAMMPS prints is what counts.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

INPUTS = Path(__file__).parents[1] / "inputs" / "lammps" / "water"
STRIDE = 4

NULL_MODEL = """\
import numpy as np
from mimyria.targets import APT
from mimyria.tensorsources import SourceMetadata


class Zero:
    metadata = SourceMetadata("zero", APT, order="dM_a/dr_b", unit="e")

    def predict(self, frames):
        return [np.zeros((len(frame.numbers), 3, 3)) for frame in frames]


def make(target, device):
    return Zero()
"""

SETTINGS = """\
[run]
directory = "spectrum"

[source]
kind = "lammps"

[models]
apt = "python:null_model:make"

[spectrum]
plots = false
"""


def script(rounds: int, steps: int, endpoint: str, copies: str = "2 2 4") -> str:
    """Blocks in the order without, with, with, without, so that a drift cancels."""
    plain = f"run {steps} post no\n"
    hooked = (
        f"fix mimyria all python/invoke {STRIDE} end_of_step mimyria_frame\n"
        f"run {steps} post no\nunfix mimyria\n"
    )
    blocks = [plain, hooked, hooked, plain] * ((rounds + 1) // 2)
    return (
        f"include settings.lammps\nreplicate {copies}\nthermo 1000\n"
        "velocity all create 300.0 20231 mom yes rot no dist gaussian\n"
        "fix integrate all nve\n"
        f"python mimyria_start input 3 {endpoint} 'O H' {STRIDE} format ssi file "
        "mimyria_hook.py\npython mimyria_start invoke\n"
        # Not counted: lists and files are made, the driver is met.
        + hooked
        + "".join(blocks)
        + "python mimyria_finish exists\npython mimyria_finish invoke\n"
    )


def run(
    directory: Path, lmp: str, rounds: int, steps: int, copies: str = "2 2 4"
) -> list[float]:
    """Seconds of each block, the one that is not counted first."""
    for name in ("settings.lammps", "water64.data"):
        shutil.copy(INPUTS / name, directory)
    (directory / "null_model.py").write_text(NULL_MODEL)
    (directory / "run.toml").write_text(SETTINGS)
    (directory / "in.lammps").write_text(
        script(rounds, steps, "ipc://spectrum/engine", copies)
    )
    program = [sys.executable, "-m", "mimyria_driver"]
    subprocess.run([*program, "hook", "mimyria_hook.py"], cwd=directory, check=True)
    with (directory / "driver.log").open("w") as log:
        driver = subprocess.Popen(
            [*program, "run", "run.toml"], cwd=directory, stdout=log, stderr=log
        )
    try:
        while not (directory / "spectrum" / "endpoint.json").exists():
            if driver.poll() is not None:
                raise SystemExit((directory / "driver.log").read_text())
            time.sleep(0.1)
        # The interpreter that lmp embeds must not be led into our environment.
        own = str(Path(sys.executable).parent)
        path = [p for p in os.environ["PATH"].split(os.pathsep) if p != own]
        engine = subprocess.run(
            [lmp, "-in", "in.lammps", "-log", "none"],
            cwd=directory,
            env={**os.environ, "PATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if engine.returncode:
            raise SystemExit(f"lmp ended with {engine.returncode}: {engine.stdout}")
        driver.wait(120)
    finally:
        driver.kill()
        driver.wait()
    if driver.returncode:
        raise SystemExit((directory / "driver.log").read_text())
    return [float(each) for each in re.findall(r"Loop time of (\S+)", engine.stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="pairs of blocks (even)")
    parser.add_argument("--steps", type=int, default=200, help="of a block")
    parser.add_argument("--lmp", default="/usr/bin/lmp")
    parser.add_argument(
        "--replicate", nargs=3, default=["2", "2", "4"], help="copies of 192 atoms"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        _, *blocks = run(
            Path(directory),
            options.lmp,
            options.rounds,
            options.steps,
            " ".join(options.replicate),
        )
    rounds = [blocks[at : at + 4] for at in range(0, len(blocks), 4)]
    ratios = [(b + c) / (a + d) - 1 for a, b, c, d in rounds]
    plain = sum(a + d for a, _, _, d in rounds)
    hooked = sum(b + c for _, b, c, _ in rounds)
    n_steps = 2 * len(rounds) * options.steps
    print(f"without: {1000 * plain / n_steps:.3f} ms a step")
    print(f"with:    {1000 * hooked / n_steps:.3f} ms a step")
    print(f"a frame: {1000 * STRIDE * (hooked - plain) / n_steps:+.3f} ms")
    print(f"overhead: {100 * (hooked / plain - 1):+.2f} % of all", end="; ")
    print(f"median {100 * statistics.median(ratios):+.2f} %, from", end=" ")
    print(f"{100 * min(ratios):+.2f} to {100 * max(ratios):+.2f} %")


if __name__ == "__main__":
    main()
