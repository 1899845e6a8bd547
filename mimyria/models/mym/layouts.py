"""Where the numbers of equivariant maps stand, named by what they connect.

A layout says for each irrep which parts its channels have, in their order. Two programs
that order irreps differently have the same parts; weights are cut into pieces by one
layout and put together by another. It knows irreps, and neither files nor networks.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from e3nn import o3

from mimyria.errors import ModelError
from mimyria.frame import Array
from mimyria.models.coupling import Path

__all__ = [
    "Layout",
    "features_layout",
    "gate_layout",
    "joined",
    "path_keys",
    "pieces",
    "sums_layout",
]

Part = tuple[Hashable, int]
Layout = Mapping[o3.Irrep, Sequence[Part]]
"""For each irrep, in the order of the weights: name and channels of each part."""

_SCALAR = o3.Irrep(0, 1)


def features_layout(irreps: o3.Irreps) -> Layout:
    """Features: one part for each irrep."""
    return {block.ir: [(block.ir, block.mul)] for block in irreps}


def gate_layout(irreps: o3.Irreps) -> Layout:
    """What a gate that gives `irreps` wants: scalars, then a gate for each tensor."""
    layout: dict[o3.Irrep, list[Part]] = {_SCALAR: []}
    for block in irreps:
        layout.setdefault(block.ir, []).append((block.ir, block.mul))
    layout[_SCALAR] += [
        (("gate", block.ir), block.mul) for block in irreps if block.ir.l > 0
    ]
    return layout


def sums_layout(irreps_in: o3.Irreps, paths: Sequence[Path]) -> Layout:
    """Sums over neighbours: a part for each path, equal irreps side by side."""
    layout: dict[o3.Irrep, list[Part]] = {}
    named = zip(paths, path_keys(irreps_in, paths), strict=True)
    # Sorting keeps the order of paths to one irrep.
    for path, key in sorted(named, key=lambda pair: pair[0].irrep):
        layout.setdefault(path.irrep, []).append((key, path.mul))
    return layout


def path_keys(irreps_in: o3.Irreps, paths: Sequence[Path]) -> list[Hashable]:
    """Names of paths that do not depend on the order of `irreps_in`."""
    return [(irreps_in[path.left].ir, path.right, path.irrep) for path in paths]


def pieces(
    weights: Array, before: Layout, after: Layout
) -> dict[tuple[Hashable, Hashable], Array]:
    """Matrices of a linear map by the names of the parts that they connect.

    Args:
        weights: (n,) — one matrix (channels before, channels after) for each irrep.
        before: layout of the input.
        after: layout of the output.

    Raises:
        ModelError: there are more or fewer weights.
    """
    wanted = sum(
        _channels(before[irrep]) * _channels(after[irrep])
        for irrep in before
        if irrep in after
    )
    if weights.shape != (wanted,):
        raise ModelError(f"has the shape {weights.shape}, not {(wanted,)}")
    found, start = {}, 0
    for irrep in before:
        if irrep not in after:
            continue
        shape = _channels(before[irrep]), _channels(after[irrep])
        matrix = weights[start : start + shape[0] * shape[1]].reshape(shape)
        start += matrix.size
        for row, rows in zip(
            before[irrep], _cut(matrix, before[irrep], 0), strict=True
        ):
            for column, piece in zip(
                after[irrep], _cut(rows, after[irrep], 1), strict=True
            ):
                found[row[0], column[0]] = piece
    return found


def joined(
    found: Mapping[tuple[Hashable, Hashable], Array], before: Layout, after: Layout
) -> Array:
    """Inverse of `pieces`, for any layouts with the same parts."""
    matrices = [
        np.block(
            [[found[row, column] for column, _ in after[irrep]] for row, _ in rows]
        )
        for irrep, rows in before.items()
        if irrep in after
    ]
    return np.concatenate([np.zeros(0), *(matrix.ravel() for matrix in matrices)])


def _channels(parts: Sequence[Part]) -> int:
    return sum(mul for _, mul in parts)


def _cut(matrix: Array, parts: Sequence[Part], axis: int) -> list[Array]:
    """The matrix in pieces as wide as the parts."""
    ends = np.cumsum([mul for _, mul in parts])[:-1]
    return list(np.split(matrix, ends, axis=axis))
