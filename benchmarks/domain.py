"""Cost of a subdomain: the atoms of one MPI rank of LAMMPS with ghosts around them.

    OMP_NUM_THREADS=1 python benchmarks/domain.py [measure] [table]

measure  one rank in the bulk of liquid water with 1,536 to 98,304 atoms of its own, and
         its ghosts to layers x cutoff + 2 A: CPU time of this process for a frame, that
         of the search for neighbours alone, what the peak of its memory grew by, and
         the time for a periodic box of as many atoms (`gathered`), which is what one
         process needs without ghosts. Each size in a process of its own; lines go to
         domain.json in the working directory.
table    what this says of systems of 10^4 to 10^6 atoms on 1 to 256 ranks. The model:
         a layer costs the same for each atom that it is asked about (measured here,
         layer by layer, in a periodic box), and it is asked about the atoms within 0,
         1, ... cutoffs of a cubic subdomain; the search goes over all that there are.
         What it predicts of the measured lines is compared with them, and the median
         of that corrects all of it. Times are CPU times: those of ranks that have a
         core of their own each, without LAMMPS' own time. `speed-up`: against one
         process with one thread and no ghosts.
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

from mimyria.data.graph import batch_graph
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
GIVEN = ("species", "receivers", "senders")
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


def costs(model, copies=3):
    """Seconds of CPU time for an atom: of the harmonics, and of each layer."""
    torch.set_num_threads(1)
    metadata = model.metadata
    graph = batch_graph([water(copies)], metadata.species, metadata.cutoff)
    given = [torch.from_numpy(getattr(graph, name)) for name in GIVEN]
    given.append(torch.from_numpy(graph.vectors).float())
    network = model._network
    best = None
    for _ in range(3):
        times = [time.process_time()]
        with torch.inference_mode():
            edges = network.edges(*given)
            times.append(time.process_time())
            blocks = [network.embedding.index_select(0, given[0]).unsqueeze(1)]
            for layer in network.layers:
                blocks = layer(blocks, given[0], edges)
                times.append(time.process_time())
        spent = np.diff(times) / graph.n_atoms
        best = spent if best is None else np.minimum(best, spent)
    return best


def predicted(atoms, cutoff, per_atom, search):
    """Seconds of a rank with so many atoms of its own, and its atoms with ghosts."""
    n_layers = len(per_atom) - 1
    hops = [n_layers - 1, *range(n_layers - 1, -1, -1)]
    seconds = sum(
        cost * around(atoms, hop * cutoff)
        for cost, hop in zip(per_atom, hops, strict=True)
    )
    side = (atoms / DENSITY) ** (1 / 3)
    every = DENSITY * (side + 2 * (n_layers * cutoff + SKIN)) ** 3
    return seconds + search * every, every


def slope(lines, name):
    """Of a measured quantity, for an atom or ghost; large sizes count more."""
    every = np.array([line["owned"] + line["ghosts"] for line in lines])
    found = np.array([line[name] for line in lines])
    return float(found @ every / (every @ every))


def table():
    lines = json.loads(RESULTS.read_text())
    for name in MODELS:
        mine = [line for line in lines if line["model"] == name]
        cutoff, per_atom = mine[0]["cutoff"], costs(model_named(name))
        search, memory = slope(mine, "search"), slope(mine, "megabytes")
        constants = (cutoff, per_atom, search)
        ratios = [predicted(x["owned"], *constants)[0] / x["seconds"] for x in mine]
        scale = 1.0 / np.median(ratios)  # larger arrays are slower for each atom
        print(
            f"{name}: us for an atom: harmonics and layers "
            f"{' '.join(f'{1e6 * cost:.1f}' for cost in per_atom)}, search "
            f"{1e6 * search:.1f}; kB {1e3 * memory:.1f}; times {scale:.2f}; "
            f"predicted / measured {' '.join(f'{scale * r:.2f}' for r in ratios)}"
        )
        print(
            f"{'atoms':>9s} {'ranks':>6s} {'owned':>8s} {'ghosts':>8s} {'s/frame':>8s} "
            f"{'speed-up':>8s} {'MB/rank':>8s}"
        )
        for atoms in ATOMS:
            alone = scale * atoms * (per_atom.sum() + search)
            for ranks in RANKS:
                owned = atoms / ranks
                seconds, every = predicted(owned, *constants)
                seconds *= scale
                print(
                    f"{atoms:9d} {ranks:6d} {owned:8.0f} {every - owned:8.0f} "
                    f"{seconds:8.2f} {alone / seconds:8.1f} {memory * every:8.0f}"
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
