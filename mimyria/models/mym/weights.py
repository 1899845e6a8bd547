"""From the tensors of the old network to the weights of ours.

| theirs (`e3nn.nn.models.v2106`)           | ours                                |
|-------------------------------------------|-------------------------------------|
| one input for each element                | `embedding`, rows of a unit matrix  |
| `fc`, the network of radial weights       | `convolution.radial`                |
| `lin1`, `lin2`, with the node attribute 1 | `convolution.mix_in`, `mix_out`     |
| `alpha`                                   | `convolution.weigh`                 |
| `sc`, one for all elements                | `self_connection`, one for each     |
| edge vectors r_i − r_j of receiver i      | r_j − r_i: (−1)^l for paths of Y_l  |
| odd irreps before even ones               | even ones first (`layouts`)         |

A fully connected tensor product with the scalar 1 is a linear map with the same weights
and the same normalisation, 1/√(channels that are summed).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from e3nn import o3

from mimyria.errors import ModelError
from mimyria.frame import Array
from mimyria.models.coupling import Path, allowed_paths, target_irreps
from mimyria.models.mym.layouts import (
    Layout,
    features_layout,
    gate_layout,
    joined,
    path_keys,
    pieces,
    sums_layout,
)
from mimyria.models.mym.reading import MymFile
from mimyria.models.network import hidden_irreps, reachable

__all__ = ["converted_weights"]

# Constants of e3nn, and weights of products that have none.
_CONSTANT: Final = re.compile(r".*(\.output_mask|\._w3j_\d+_\d+_\d+)")
_EMPTY: Final = re.compile(r".*\.(tp|mul)\.weight")

_SCALAR: Final = o3.Irreps("0e")


@dataclass(frozen=True, slots=True)
class _Layer:
    """One convolution in one of the two orders of irreps.

    Attributes:
        features: layout of its input.
        paths: products that it makes.
        keys: names of the paths.
        sums: layout of the sums over neighbours.
        result: layout of what it gives.
    """

    features: Layout
    paths: list[Path]
    keys: list[object]
    sums: Layout
    result: Layout


def converted_weights(
    file: MymFile, species: tuple[int, ...], signs: Array
) -> dict[str, Array]:
    """Weights of our network that give what the old one gave.

    Args:
        file: the old model.
        species: atomic numbers in our order.
        signs: (dim,) — ±1 for each component in irreps, by which the result differs.

    Raises:
        ModelError: tensors are missing or unknown, or have other shapes.
    """
    settings = file.parameters.settings
    ours = hidden_irreps(settings)
    theirs = o3.Irreps(sorted(ours, key=lambda block: (block.ir.l, block.ir.p)))
    layers = zip(_layers(file, theirs), _layers(file, ours), strict=True)
    numbers = file.parameters.numbers
    weights = {"embedding": np.eye(len(numbers))[[numbers.index(z) for z in species]]}
    used: set[str] = set()
    for k, (old, new) in enumerate(layers):
        last = k == settings.n_layers - 1
        prefix = f"mp.layers.{k}." if last else f"mp.layers.{k}.first."
        place = f"layers.{k}." if last else f"layers.{k}.linear."
        flips = signs if last else None
        made = _converted_layer(_tensors(file, prefix, used), old, new, flips)
        self_connection = made.pop("self_connection.weight")
        made["self_connection.weight"] = np.tile(self_connection, (len(species), 1))
        weights.update({place + name: value for name, value in made.items()})
    _refuse_unknown(file, used)
    return weights


def _layers(file: MymFile, hidden: o3.Irreps) -> list[_Layer]:
    """All convolutions, with features in the order of `hidden`."""
    settings = file.parameters.settings
    sphere = o3.Irreps.spherical_harmonics(settings.lmax_sphere)
    irreps = o3.Irreps([(settings.embedding_width, "0e")])
    layers = []
    for _ in range(settings.n_layers - 1):
        made = reachable(irreps, sphere, hidden)
        layers.append(_layer(irreps, sphere, made, gate_layout(made)))
        irreps = made
    output = target_irreps([file.target])
    return [*layers, _layer(irreps, sphere, output, features_layout(output))]


def _layer(
    irreps: o3.Irreps, sphere: o3.Irreps, made: o3.Irreps, result: Layout
) -> _Layer:
    paths = allowed_paths(irreps, sphere, made + _SCALAR)
    return _Layer(
        features_layout(irreps),
        paths,
        path_keys(irreps, paths),
        sums_layout(irreps, paths),
        result,
    )


_NAMES: Final = (
    "fc.layer0.weight",
    "fc.layer1.weight",
    "lin1.weight",
    "lin2.weight",
    "alpha.weight",
    "sc.weight",
)


def _tensors(file: MymFile, prefix: str, used: set[str]) -> dict[str, Array]:
    """The tensors of one layer by their names in it; notes that they are used."""
    names = [prefix + name for name in _NAMES]
    missing = [name for name in names if name not in file.tensors]
    if missing:
        raise ModelError(f"the network has no {missing[0]}.")
    used.update(names)
    settings = file.parameters.settings
    first = file.tensors[names[0]]
    if first.shape != (settings.n_radial, settings.radial_width):
        raise ModelError(
            f"{names[0]} has the shape {first.shape}, but the parameters say "
            f"{(settings.n_radial, settings.radial_width)}."
        )
    return {name: file.tensors[prefix + name] for name in _NAMES}


def _converted_layer(
    tensors: dict[str, Array], old: _Layer, new: _Layer, signs: Array | None
) -> dict[str, Array]:
    """Weights of one layer by our names in it."""
    made = {
        "convolution.radial.layer0.weight": tensors["fc.layer0.weight"],
        "convolution.radial.layer1.weight": _radial(
            tensors["fc.layer1.weight"], old, new
        ),
    }
    before, after = _maps(old), _maps(new)
    for name, (theirs, *layouts) in before.items():
        try:
            found = pieces(tensors[theirs], *layouts)
        except ModelError as error:
            raise ModelError(
                f"{theirs} of a layer {error}: it is not the network of its parameters."
            ) from error
        if signs is not None and layouts[1] is old.result:
            found = _with_signs(found, old.result, signs)
        made[name] = joined(found, *after[name][1:])
    return made


def _maps(layer: _Layer) -> dict[str, tuple[str, Layout, Layout]]:
    """Linear maps by our names: their names, layouts of input and output."""
    scalar = features_layout(_SCALAR)
    return {
        "convolution.mix_in.weight": ("lin1.weight", layer.features, layer.features),
        "convolution.mix_out.weight": ("lin2.weight", layer.sums, layer.result),
        "convolution.weigh.weight": ("alpha.weight", layer.sums, scalar),
        "self_connection.weight": ("sc.weight", layer.features, layer.result),
    }


def _radial(weights: Array, old: _Layer, new: _Layer) -> Array:
    """Last matrix of the radial network, its columns in the order of our paths."""
    widths = [path.mul for path in old.paths]
    if weights.ndim != 2 or weights.shape[1] != sum(widths):
        raise ModelError(
            f"fc.layer1.weight of a layer has the shape {weights.shape}, not "
            f"(…, {sum(widths)}): it is not the network of its parameters."
        )
    columns = dict(
        zip(old.keys, np.split(weights, np.cumsum(widths)[:-1], axis=1), strict=True)
    )
    # Y_l(−r) = (−1)^l Y_l(r); `right` is l.
    return np.concatenate(
        [
            (-1) ** path.right * columns[key]
            for path, key in zip(new.paths, new.keys, strict=True)
        ],
        axis=1,
    )


def _with_signs(
    found: dict[tuple[object, object], Array], result: Layout, signs: Array
) -> dict[tuple[object, object], Array]:
    """Matrices with the columns of some channels of the result turned round."""
    of_irrep, start = {}, 0
    for irrep, ((_, mul),) in result.items():
        stop = start + mul * irrep.dim
        of_irrep[irrep] = signs[start : stop : irrep.dim]
        start = stop
    return {(row, column): m * of_irrep[column] for (row, column), m in found.items()}


def _refuse_unknown(file: MymFile, used: set[str]) -> None:
    """Every other tensor must be a constant, or have no numbers."""
    for name, values in file.tensors.items():
        if name in used or _CONSTANT.fullmatch(name):
            continue
        if not (_EMPTY.fullmatch(name) and values.size == 0):
            raise ModelError(f"the network has a tensor that is not known: {name}.")
