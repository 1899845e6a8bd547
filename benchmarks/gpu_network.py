"""The GPU section of network.py: frames per second, and what the GPU could do at best.

The bound of a network is that of its convolutions, each once through memory and all of
its products at the full rate: the larger of bytes / bandwidth and operations / rate.
"""

import time

import torch
from network import random_network, water

from mimyria.data.graph import batch_graph
from mimyria.models.fused import backend_name
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.fused.problem import POINTS, PathPlan

BATCHES = (1, 4, 16, 64)
COPIES = (1, 2, 4)
REPEATS = 5

# Bytes/s and float32 operations/s outside the tensor cores, by the makers' data sheets.
PEAKS = {
    "H200": (4.8e12, 67e12),
    "H100": (3.35e12, 67e12),
    "A100": (2.0e12, 19.5e12),
}


def frame_on_gpu(frame, metadata, batch):
    """Arguments of the network for copies of a frame, side by side."""
    graph = batch_graph([frame], metadata.species, metadata.cutoff)
    cuda = torch.device("cuda")
    first = torch.arange(batch, device=cuda)[:, None] * frame.n_atoms
    return (
        torch.from_numpy(graph.species).to(cuda).repeat(batch),
        (torch.from_numpy(graph.receivers).to(cuda) + first).flatten(),
        (torch.from_numpy(graph.senders).to(cuda) + first).flatten(),
        torch.from_numpy(graph.vectors).to(cuda, torch.float32).repeat(batch, 1),
    )


def bound(fused, n_atoms, n_edges, peaks):
    """Least seconds of all convolutions."""
    n_bytes, operations = 0, 0
    for layer in fused.layers:
        numbers = layer.convolution
        size = len(PathPlan._fields)
        rows = [numbers.plan[k : k + size] for k in range(0, len(numbers.plan), size)]
        paths = [PathPlan(*row) for row in rows]
        dims = {path.input: path.dim_in for path in paths}
        state = sum(
            dims[k] * linear.weight.shape[-1]
            for k, linear in enumerate(numbers.mix_in)
            if k in dims
        )
        results = sum(
            dim * channels
            for dim, channels in zip(
                numbers.outputs[::2], numbers.outputs[1::2], strict=True
            )
        )
        harmonics = max(path.sphere + path.dim_sphere for path in paths)
        n_bytes += 4 * (state + results) * n_atoms + 4 * numbers.table.numel()
        n_bytes += (4 * harmonics + 4 + 8 + 8) * n_edges  # length, sender, kind
        products = sum(p.n_channels * p.dim_in * p.dim_sphere for p in paths)
        weighted = sum(p.n_channels * (p.dim_in + POINTS) for p in paths)
        operations += 2 * (products + weighted) * n_edges
    return max(n_bytes / peaks[0], operations / peaks[1])


@torch.inference_mode()
def seconds(fused, given):
    """Least wall time of some evaluations, after two that do not count."""
    times = []
    for repeat in range(REPEATS + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        fused(*given)
        torch.cuda.synchronize()
        if repeat > 1:
            times.append(time.perf_counter() - start)
    return min(times)


def gpu():
    """Print the table; nothing where there is no GPU."""
    if not torch.cuda.is_available():
        return
    name = torch.cuda.get_device_name()
    peaks = next((found for key, found in PEAKS.items() if key in name), None)
    print(f"{name}, float32, {backend_name(torch.device('cuda'))}, neighbours known")
    print(f"{'network':16s} {'atoms':>6s} {'batch':>6s} {'frames/s':>9s} {'bound':>6s}")
    for learns in ("apt", "pgt", "joint"):
        network, metadata = random_network("reference", learns)
        fused = fuse_network(network, torch.float32).to("cuda")
        for copies in COPIES:
            frame = water(copies)
            for batch in BATCHES:
                try:
                    given = frame_on_gpu(frame, metadata, batch)
                    taken = seconds(fused, given)
                except torch.cuda.OutOfMemoryError:
                    print(f"reference {learns:6s} {frame.n_atoms:6d} {batch:6d} memory")
                    continue
                share = "–"
                if peaks is not None:
                    least = bound(fused, len(given[0]), len(given[1]), peaks)
                    share = f"{100 * least / taken:.0f} %"
                print(
                    f"reference {learns:6s} {frame.n_atoms:6d} {batch:6d} "
                    f"{batch / taken:9.1f} {share:>6s}",
                    flush=True,
                )
