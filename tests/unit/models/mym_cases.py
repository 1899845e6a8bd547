"""`.mym` files with random numbers, and e3nn's own network as the yardstick."""

import io
import json
import zipfile

import numpy as np
import torch
from e3nn import o3
from e3nn.math import soft_one_hot_linspace
from e3nn.nn.models.v2106.gate_points_message_passing import MessagePassing

from mimyria.data.graph import batch_graph
from mimyria.models.coupling import float64_default
from mimyria.targets import TARGETS

CLASSES = {"apt": "APTNetwork", "pgt": "PGTNetwork"}
FORMULAS = {"apt": ("ij", "ij"), "pgt": ("ijk=jik", "ik")}
PARAMETERS = {
    "atom_kinds": ["O", "H"],
    "radial_cutoff": 3.5,
    "num_radial_basis": 5,
    "num_neighbors": 9,
    "num_features": 6,
    "num_layers": 2,
    "lmax": 2,
    "normalization": "NORM_IRREPS",
    "equal_num_features_per_channel": False,
    "natural_parities_only": False,
}


def irreps_and_basis(learns):
    formula, letters = FORMULAS[learns]
    with float64_default():
        product = o3.ReducedTensorProducts(formula, **dict.fromkeys(letters, "1o"))
    return product.irreps_out, product.change_of_basis.double()


def old_network(learns, parameters, seed=4):
    """`e3nn.nn.models.v2106` with every weight random."""
    lmax, mul = parameters["lmax"], parameters["num_features"]
    equal = parameters["equal_num_features_per_channel"]
    natural = parameters["natural_parities_only"]
    hidden = o3.Irreps(
        [
            (mul if equal else max(4, mul // (ell + 1)), (ell, parity))
            for ell in range(lmax + 1)
            for parity in (((-1) ** ell,) if natural else (-1, 1))
        ]
    )
    inputs = o3.Irreps([(len(parameters["atom_kinds"]), "0e")])
    output, _ = irreps_and_basis(learns)
    with float64_default():
        network = MessagePassing(
            [inputs, *[hidden] * parameters["num_layers"], output],
            "0e",
            o3.Irreps.spherical_harmonics(lmax),
            [parameters["num_radial_basis"], 100],
            parameters["num_neighbors"],
        ).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            )
    return network


def old_irreps(network, parameters, frame):
    """Output of the old network for a frame: its edges are those of ours, reversed."""
    symbols = {"H": 1, "O": 8, "Na": 11}
    kinds = [symbols[symbol] for symbol in parameters["atom_kinds"]]
    cutoff, n_radial = parameters["radial_cutoff"], parameters["num_radial_basis"]
    graph = batch_graph([frame], tuple(sorted(kinds)), cutoff)
    atoms = torch.arange(frame.n_atoms)
    # Every atom is a neighbour of itself, at no distance.
    senders = torch.cat([torch.from_numpy(graph.senders), atoms])
    receivers = torch.cat([torch.from_numpy(graph.receivers), atoms])
    vectors = torch.cat(
        [-torch.from_numpy(graph.vectors), torch.zeros(frame.n_atoms, 3)]
    ).double()
    places = torch.tensor([kinds.index(z) for z in frame.numbers])
    features = torch.eye(len(kinds), dtype=torch.float64)[places]
    with float64_default(), torch.no_grad():
        sphere = o3.spherical_harmonics(
            list(range(parameters["lmax"] + 1)), vectors, True, "component"
        )
        radial = soft_one_hot_linspace(
            vectors.norm(dim=1), 0.0, cutoff, n_radial, "smooth_finite", True
        )
        ones = torch.ones(frame.n_atoms, 1)
        return network(
            features, ones, senders, receivers, sphere, radial * n_radial**0.5
        ).numpy()


def random_normalisation(learns, parameters):
    """Mean and deviation of each element, as NORM_LAST gives them."""
    rng = np.random.default_rng(6)
    dim = TARGETS[learns].n_independent
    return tuple(
        {
            symbol: torch.from_numpy(draw(size=dim))
            for symbol in parameters["atom_kinds"]
        }
        for draw in (rng.normal, lambda size: rng.uniform(0.5, 2.0, size))
    )


def saved(values):
    stream = io.BytesIO()
    torch.save(values, stream)
    return stream.getvalue()


def members(learns, parameters, network):
    """The members of a `.mym` file that matter."""
    mean, deviation = random_normalisation(learns, parameters)
    state = {
        "change_of_basis": irreps_and_basis(learns)[1],
        "normalize_mean": mean,
        "normalize_std": deviation,
    }
    tensors = {f"mp.{name}": value for name, value in network.state_dict().items()}
    info = {
        "class_name": CLASSES[learns],
        "train_data_indices": [0, 2],
        "test_data_indices": [1],
        "last_epoch": 3,
    }
    return {
        "info.json": json.dumps(info).encode(),
        "params.json": json.dumps(parameters).encode(),
        "net.torch": saved(tensors),
        "state.torch": saved(state),
        "opt.torch": b"never looked at",
    }


def write_mym(path, contents):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
    return path


def old_answer(learns, parameters, network, frame):
    """Cartesian tensors of the old program, in its order: (n_atoms, n_components)."""
    irreps = old_irreps(network, parameters, frame)
    symbols = {1: "H", 8: "O", 11: "Na"}
    rows = [symbols[z] for z in frame.numbers]
    if parameters["normalization"] != "NORM_NONE":
        mean, deviation = random_normalisation(learns, parameters)
        irreps = irreps * np.stack([deviation[s].numpy() for s in rows]) + np.stack(
            [mean[s].numpy() for s in rows]
        )
    basis = irreps_and_basis(learns)[1].numpy()
    return irreps @ basis.reshape(len(basis), -1)
