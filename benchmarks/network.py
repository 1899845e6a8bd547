"""Cost of networks per frame of liquid water.

    OMP_NUM_THREADS=1 python benchmarks/network.py [speed] [scaling] [shipped] [gpu]

With one thread times are CPU time, which other programs disturb little; with more they
are those of the clock, on a machine that does nothing else.

speed    the network as written with e3nn, and as it runs (fused; in C++, and in torch
         alone), with the same random weights: 64 waters, without the neighbour list.
         `off` is the largest difference from e3nn in float64, relative to the largest
         component. Last what a joint network costs, as a part of the two.
scaling  frames of 192 to 12,288 atoms with the neighbour list, and the peak of the
         memory of the process, each in a process of its own.
shipped  the shipped models: the driver pays the sum of the first two for every sampled
         frame, or one of the others.
gpu      frames per second on a GPU, where there is one; see gpu_network.py.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import torch
from e3nn_network import e3nn_network

from mimyria.data.graph import batch_graph
from mimyria.data.scaling import Scaling
from mimyria.frame import Frame
from mimyria.models import (
    PRESETS,
    ModelMetadata,
    TensorModel,
    build_network,
    load_model,
    preset,
)
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.network import target_irreps
from mimyria.targets import targets_by_name

WATER = Path(__file__).resolve().parents[1] / "inputs" / "ipi" / "water" / "init.xyz"
SHIPPED = (
    "water-compact-apt",
    "water-compact-pgt",
    "water-compact-joint",
    "water-compact-committee",
)
SPECIES = (1, 8)
REPEATS = 5
FRAMES = 4
THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
COPIES = (1, 2, 3, 4)


def water(copies=1):
    """64 waters at the density of the liquid, repeated along each axis."""
    atoms = ase.io.read(WATER)
    atoms.set_cell(12.417 * np.eye(3))
    atoms = atoms.repeat(copies)
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    return Frame(numbers, atoms.positions, np.asarray(atoms.cell), None, step=0)


def random_network(architecture, learns):
    """A trained network, as far as cost and rounding go: all parameters random."""
    targets = targets_by_name(learns)
    settings = preset(architecture, learns)
    scaling = Scaling.neutral(len(SPECIES), target_irreps(targets).dim)
    network = build_network(
        targets, settings, len(SPECIES), 60.0, scaling, dtype=torch.float64
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    metadata = ModelMetadata("random", targets, settings, SPECIES, 60.0, scaling)
    return network.eval(), metadata


def milliseconds(action, repeats=REPEATS):
    """Least time of some repeats, after one that does not count."""
    clock = time.process_time if THREADS == 1 else time.perf_counter
    action()
    times = []
    for _ in range(repeats):
        start = clock()
        action()
        times.append(clock() - start)
    return 1e3 * min(times)


@torch.inference_mode()
def speed():
    print(
        f"{'network':16s} {'dtype':8s} {'e3nn':>9s} {'fused':>9s} {'ratio':>6s} "
        f"{'off':>8s} {'torch':>9s} {'ratio':>6s} {'off':>8s}"
    )
    costs = {}
    for architecture, learns in PRESETS:
        network, metadata = random_network(architecture, learns)
        graph = batch_graph([water()], SPECIES, metadata.cutoff)
        indices = [
            torch.from_numpy(values)
            for values in (graph.species, graph.receivers, graph.senders)
        ]
        vectors = torch.from_numpy(graph.vectors)
        wanted = e3nn_network(network)(*indices, vectors)
        for dtype in (torch.float32, torch.float64):
            given = (*indices, vectors.to(dtype))
            plain = e3nn_network(network).to(dtype)
            before = milliseconds(lambda: plain(*given), 2)  # noqa: B023
            fused = fuse_network(network, dtype)
            columns = []
            for kernel in ("cpp", "torch"):
                os.environ["MIMYRIA_KERNEL"] = kernel
                cost = milliseconds(lambda: fused(*given))  # noqa: B023
                costs[architecture, learns, dtype, kernel] = cost
                difference = fused(*given).double() - wanted
                off = float(difference.abs().max() / wanted.abs().max())
                columns.append(f"{cost:6.1f} ms {before / cost:6.1f} {off:8.0e}")
            print(
                f"{architecture + ' ' + learns:16s} {str(dtype)[6:]:8s} "
                f"{before:6.0f} ms {' '.join(columns)}",
                flush=True,
            )
    os.environ.pop("MIMYRIA_KERNEL")
    for architecture, learns, dtype, kernel in costs:
        if learns == "joint" and kernel == "cpp":
            joint, apt, pgt = (
                costs[architecture, name, dtype, kernel]
                for name in ("joint", "apt", "pgt")
            )
            part = joint / (apt + pgt)
            print(f"{architecture} joint / (apt + pgt), {str(dtype)[6:]}: {part:.2f}")


def scaling():
    print(f"{'network':24s} {'atoms':>6s} {'ms':>9s} {'µs/atom':>8s} {'memory':>9s}")
    for learns in ("apt", "pgt", "joint"):
        for dtype in ("float32", "float64"):
            for copies in COPIES:
                subprocess.run(
                    [sys.executable, __file__, "frame", learns, dtype, str(copies)],
                    check=True,
                )


def one_size(learns, dtype, copies):
    """One line of `scaling`: frames that follow each other, atoms moving little."""
    network, metadata = random_network("reference", learns)
    fused = fuse_network(network, getattr(torch, dtype))
    metadata = metadata.with_changes(dtype=dtype)
    model = TensorModel(fused, metadata, torch.device("cpu"))
    model.predict([water()])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frame = water(copies)
    cost = milliseconds(lambda: model.predict([frame]), 2)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"reference {learns:6s} {dtype:7s} {frame.n_atoms:6d} {cost:6.0f} ms "
        f"{1e3 * cost / frame.n_atoms:8.1f} {(after - before) / 1024:6.0f} MB",
        flush=True,
    )


def shipped():
    frame = water()
    for name in SHIPPED:
        model = load_model(name)
        cost = milliseconds(lambda: model.predict([frame]), 20)  # noqa: B023
        print(f"{name:24s} {cost:7.1f} ms")


def main():
    torch.set_num_threads(THREADS)
    from gpu_network import gpu  # which needs what is above

    parts = {"speed": speed, "scaling": scaling, "shipped": shipped, "gpu": gpu}
    if sys.argv[1:2] == ["frame"]:
        one_size(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    for part in sys.argv[1:] or parts:
        parts[part]()
        print()


if __name__ == "__main__":
    main()
