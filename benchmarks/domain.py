"""Cost of a subdomain: the atoms of one MPI rank of LAMMPS with ghosts around them.

    OMP_NUM_THREADS=1 python benchmarks/domain.py [measure] [table]

measure  one rank in the bulk of liquid water with 1,536 to 98,304 atoms of its own, and
         its ghosts to layers x cutoff + 2 A: CPU time of this process for a frame, that
         of the search for neighbours alone, what the peak of its memory grew by, and
         the time for a periodic box of as many atoms (`gathered`), which is what one
         process needs without ghosts. Each size in a process of its own; lines go to
         domain.json in the working directory.
table    what these numbers say of systems of 10^4 to 10^6 atoms on 1 to 256 ranks. The
         model: a layer costs the same for each atom that it is asked about, and it is
         asked about the atoms within 0, 1, ... cutoffs of a cubic subdomain, the search
         about all that there are. Its two constants are fitted to the measured lines;
         `off` is the largest deviation from them. Times are for ranks that each have a
         core of their own and memory that is not shared; LAMMPS' own time is not in it.
"""

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import torch
from network import random_network, water

from mimyria.data.subdomain import Subdomain, subdomain_graph
from mimyria.domainsums import domain_sums
from mimyria.models import TensorModel, load_model
from mimyria.models.fused.fusing import fuse_network
from mimyria.tensors import Tensors

ROOT = Path(__file__).resolve().parents[1]
WATER = ROOT / "inputs" / "ipi" / "water" / "init.xyz"
RESULTS = Path("domain.json")
BOX = 12.417  # A, of 192 atoms
DENSITY = 192 / BOX**3
SKIN = 2.0
MODELS = {
    "compact joint": (2, 3, 4, 6, 8),
    "reference apt": (2, 3, 4),
    "reference joint": (2, 3),
}
RANKS = (1, 4, 16, 64, 256)
ATOMS = (10_000, 100_000, 1_000_000)


def model_named(name):
    """The shipped model, or one of the reference size with random weights."""
    architecture, learns = name.split()
    if architecture == "compact":
        return load_model(f"water-compact-{learns}")
    network, metadata = random_network(architecture, learns)
    fused = fuse_network(network, torch.float32)
    metadata = metadata.with_changes(dtype="float32")
    return TensorModel(fused, metadata, torch.device("cpu"))


def subdomain(copies, shell):
    """A cube of 192 copies^3 atoms in bulk water, ghosts to `shell` around it."""
    atoms = ase.io.read(WATER)
    numbers, places = atoms.numbers.astype(np.int64), np.asarray(atoms.positions)
    places = places - BOX * np.floor(places / BOX)
    more, side = math.ceil(shell / BOX), copies * BOX
    cells = np.arange(-more, copies + more)
    shifts = BOX * np.stack(np.meshgrid(cells, cells, cells), axis=-1).reshape(-1, 3)
    positions = (shifts[:, np.newaxis] + places).reshape(-1, 3)
    kinds = np.tile(numbers, len(shifts))
    near = ((positions >= -shell) & (positions < side + shell)).all(axis=1)
    own = ((positions >= 0) & (positions < side)).all(axis=1)
    order = np.concatenate([np.flatnonzero(own), np.flatnonzero(near & ~own)])
    return Subdomain(kinds[order], positions[order], int(own.sum()))


def measure_one(name, copies):
    """One line: a frame of one rank."""
    torch.set_num_threads(1)
    model = model_named(name)
    metadata = model.metadata
    here = subdomain(copies, metadata.reach + SKIN)
    velocities = np.random.default_rng(1).normal(scale=0.01, size=(here.n_owned, 3))
    kinds = (here.numbers[: here.n_owned] == 1).astype(np.int64)
    model.predict_owned(subdomain(1, metadata.reach))  # compiles, and takes memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    (members,) = model.predict_owned(here)
    tensors = Tensors.from_columns(members, model.targets)
    domain_sums(velocities, kinds, 2, tensors)
    seconds = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    found = subdomain_graph(
        here, metadata.species, metadata.cutoff, metadata.settings.n_layers
    )
    search = time.process_time() - start
    start = time.process_time()
    model.predict([water(copies)])
    gathered = time.process_time() - start
    print(
        json.dumps(
            {
                "model": name,
                "owned": here.n_owned,
                "ghosts": len(here.numbers) - here.n_owned,
                "reached": found.reached,
                "edges": found.graph.n_edges,
                "seconds": seconds,
                "search": search,
                "gathered": gathered,
                "megabytes": (after - before) / 1024,
                "cutoff": metadata.cutoff,
            }
        )
    )


def measure():
    lines = []
    print(
        f"{'model':16s} {'owned':>7s} {'ghosts':>7s} {'used':>7s} {'s':>8s} "
        f"{'of it search':>12s} {'gathered':>8s} {'us/owned':>9s} {'MB':>6s}"
    )
    for name, sizes in MODELS.items():
        for copies in sizes:
            command = [sys.executable, __file__, "one", name, str(copies)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            line = json.loads(done.stdout.splitlines()[-1])
            lines.append(line)
            print(
                f"{name:16s} {line['owned']:7d} {line['ghosts']:7d} "
                f"{line['reached'][-1]:7d} {line['seconds']:8.2f} "
                f"{line['search']:12.2f} {line['gathered']:8.2f} "
                f"{1e6 * line['seconds'] / line['owned']:9.0f} "
                f"{line['megabytes']:6.0f}",
                flush=True,
            )
    RESULTS.write_text(json.dumps(lines, indent=1))


def around(atoms, distance):
    """Atoms within a distance of a cube of so many atoms: Steiner's formula."""
    side = (atoms / DENSITY) ** (1 / 3)
    volume = side**3 + 6 * side**2 * distance
    volume += 3 * math.pi * side * distance**2 + 4 / 3 * math.pi * distance**3
    return DENSITY * volume


def terms(atoms, cutoff, n_layers):
    """Atoms that layers are asked about, all together, and those of the search."""
    layers = sum(around(atoms, hop * cutoff) for hop in range(n_layers))
    side = (atoms / DENSITY) ** (1 / 3)
    return np.array([layers, DENSITY * (side + 2 * (n_layers * cutoff + SKIN)) ** 3])


def fitted(lines):
    """Seconds for an atom in a layer and in the search, megabytes for one of all."""
    n_layers = len(lines[0]["reached"]) - 1
    rows = np.array([terms(x["owned"], x["cutoff"], n_layers) for x in lines])
    seconds = np.array([x["seconds"] for x in lines])
    search = np.array([x["search"] for x in lines])
    size = np.array([x["megabytes"] for x in lines])
    slow = float(search @ rows[:, 1] / (rows[:, 1] @ rows[:, 1]))
    rest = seconds - search
    layer = float(rest @ rows[:, 0] / (rows[:, 0] @ rows[:, 0]))
    off = np.abs(rows @ [layer, slow] / seconds - 1).max()
    memory = float(size @ rows[:, 1] / (rows[:, 1] @ rows[:, 1]))
    return (layer, slow), memory, off


def table():
    lines = json.loads(RESULTS.read_text())
    for name in MODELS:
        mine = [line for line in lines if line["model"] == name]
        constants, memory, off = fitted(mine)
        cutoff, n_layers = mine[0]["cutoff"], len(mine[0]["reached"]) - 1
        print(
            f"{name}: {1e6 * constants[0]:.1f} us for an atom and layer, "
            f"{1e6 * constants[1]:.1f} us in the search, {1e3 * memory:.1f} kB; "
            f"off by at most {100 * off:.0f} %"
        )
        print(
            f"{'atoms':>9s} {'ranks':>6s} {'owned':>8s} {'ghosts':>8s} {'s/frame':>8s} "
            f"{'speed-up':>8s} {'MB/rank':>8s}"
        )
        for atoms in ATOMS:
            alone = atoms * mine[-1]["gathered"] / mine[-1]["owned"]
            for ranks in RANKS:
                counts = terms(atoms / ranks, cutoff, n_layers)
                seconds = float(counts @ constants)
                print(
                    f"{atoms:9d} {ranks:6d} {atoms / ranks:8.0f} "
                    f"{counts[1] - atoms / ranks:8.0f} {seconds:8.2f} "
                    f"{alone / seconds:8.1f} {memory * counts[1]:8.0f}"
                )
        print()


def main():
    if sys.argv[1:2] == ["one"]:
        measure_one(sys.argv[2], int(sys.argv[3]))
        return
    parts = {"measure": measure, "table": table}
    for part in sys.argv[1:] or parts:
        parts[part]()


if __name__ == "__main__":
    main()
