"""Networks with all parameters random, and graphs of many kinds."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import torch

from mimyria.data.graph import batch_graph
from mimyria.data.scaling import Scaling
from mimyria.frame import Frame
from mimyria.models import NetworkSettings, build_network, preset
from mimyria.models.fused.fusing import fuse_network
from mimyria.models.network import target_irreps
from mimyria.targets import targets_by_name

BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
SMALL = NetworkSettings((3, 2), 1, "both", 2, 4.0, 4, 8)


def e3nn_network(network):
    """The network as one writes it with e3nn: the yardstick of the benchmark."""
    spec = importlib.util.spec_from_file_location(
        "e3nn_network", BENCHMARKS / "e3nn_network.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.e3nn_network(network)


def randomised(network, seed=11):
    """Every parameter random: none is left at a value that hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            )
    return network.eval()


def random_scaling(targets, n_species=2):
    rng = np.random.default_rng(3)
    irreps = target_irreps(targets)
    scale = np.concatenate(
        [
            rng.uniform(0.5, 2.0, (n_species, 1)).repeat(irrep.dim, axis=1)
            for mul, irrep in irreps
            for _ in range(mul)
        ],
        axis=1,
    )
    shift = np.where([start == 0 for start in range(irreps.dim)], 1.5, 0.0)
    return Scaling(np.tile(shift, (n_species, 1)), scale)


@cache
def reference(learns, settings):
    """A random `TensorNetwork` in float64."""
    targets = targets_by_name(learns)
    if isinstance(settings, str):
        settings = preset(settings, learns)
    scaling = random_scaling(targets)
    network = build_network(
        targets, settings, 2, 12.0, scaling, seed=1, dtype=torch.float64
    )
    return randomised(network)


@cache
def fused(learns, settings, dtype):
    """Its fused twin."""
    return fuse_network(reference(learns, settings), getattr(torch, dtype))


def arguments(frames, cutoff, dtype="float64"):
    """Arguments of a network for frames of hydrogen and oxygen."""
    graph = batch_graph(frames, (1, 8), cutoff)
    return (
        torch.from_numpy(graph.species),
        torch.from_numpy(graph.receivers),
        torch.from_numpy(graph.senders),
        torch.from_numpy(graph.vectors).to(getattr(torch, dtype)),
    )


def random_frame(n_atoms, cell, seed=1, pbc=(True, True, True)):
    """Atoms at random, no two of them closer than 0.8 Å where there is room."""
    rng = np.random.default_rng(seed)
    positions: list[np.ndarray] = []
    while len(positions) < n_atoms:
        trial = rng.random(3) @ cell
        if all(np.linalg.norm(trial - other) > 0.8 for other in positions):
            positions.append(trial)
    numbers = rng.choice([1, 8], n_atoms)
    return Frame(numbers, np.array(positions), cell, None, 0, pbc=pbc)


TRICLINIC = np.array([[5.6, 0.3, -0.4], [1.9, 5.1, 0.2], [-0.7, 1.1, 4.9]])
OPEN = (False, False, False)
FRAMES = {
    "triclinic": random_frame(9, TRICLINIC),
    "crowded": random_frame(14, np.eye(3) * 4.0),  # beyond 64 edges at one atom
    "one atom": random_frame(1, np.eye(3) * 30, pbc=OPEN),
    "one atom and its images": random_frame(1, np.eye(3) * 3.5),
    "isolated atoms": Frame(
        np.array([8, 1, 8, 1]),
        np.array([[0.0, 0, 0], [0.9, 0.2, 0.1], [30.0, 0, 0], [0, 30.0, 0]]),
        np.eye(3) * 60,
        None,
        0,
        pbc=OPEN,
    ),
    "no edges": Frame(
        np.array([8, 1, 1]), np.diag([9.0, 18.0, 27.0]), np.eye(3), None, 0, pbc=OPEN
    ),
}
