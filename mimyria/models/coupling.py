"""Coupling coefficients in the layouts that the layers multiply with.

The coefficients are e3nn's real 3j symbols times √(2 l_out + 1), e3nn's "component"
normalisation: inputs of unit variance give outputs of unit variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from e3nn import io, o3
from torch import Tensor

from mimyria.targets import Target

__all__ = [
    "Path",
    "allowed_paths",
    "change_of_basis",
    "coupling",
    "float64_default",
    "mid_irreps",
    "target_irreps",
]


@dataclass(frozen=True, slots=True)
class Path:
    """One product of irreps: block `left` ⊗ block `right` → `irrep`, `mul` channels."""

    left: int
    right: int
    irrep: o3.Irrep
    mul: int


def allowed_paths(left: o3.Irreps, right: o3.Irreps, wanted: o3.Irreps) -> list[Path]:
    """All products of two blocks that give an irrep of `wanted`."""
    irreps = {block.ir for block in wanted}
    return [
        Path(i, j, irrep, block.mul)
        for i, block in enumerate(left)
        for j, other in enumerate(right)
        for irrep in block.ir * other.ir
        if irrep in irreps
    ]


def mid_irreps(paths: list[Path]) -> tuple[o3.Irreps, list[int]]:
    """Irreps of all paths, equal ones side by side, and the order of the paths."""
    order = sorted(range(len(paths)), key=lambda k: paths[k].irrep)
    irreps = o3.Irreps([(paths[k].mul, paths[k].irrep) for k in order])
    return irreps.simplify(), order


def coupling(left: o3.Irrep, right: o3.Irrep, out: o3.Irrep) -> Tensor:
    """Coupling coefficients (2 l_left + 1, 2 l_right + 1, 2 l_out + 1) in float64."""
    symbols = o3.wigner_3j(left.l, right.l, out.l, dtype=torch.float64)
    scaled: Tensor = math.sqrt(out.dim) * symbols
    return scaled


@contextmanager
def float64_default() -> Iterator[None]:
    """Let e3nn make its constants in float64, then restore torch's default.

    e3nn casts constants to torch's default type when a module is made; single precision
    there would limit a float64 network to 1e-7.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def target_irreps(targets: Sequence[Target]) -> o3.Irreps:
    """Irreps of targets: 0e + 1e + 2e for `ij`, 2×1o + 2o + 3o for `ijk=jik`."""
    blocks = [
        block for target in targets for block in _cartesian_tensor(target.formula)[0]
    ]
    return o3.Irreps([(block.mul, block.ir) for block in blocks])


def change_of_basis(targets: Sequence[Target]) -> Tensor:
    """Orthonormal rows (dim, n_components) from Cartesian tensors to irreps, float64.

    The components of all targets stand side by side, in both.
    """
    parts = [_cartesian_tensor(target.formula)[1].clone() for target in targets]
    joined: Tensor = torch.block_diag(*parts)  # type: ignore[no-untyped-call]
    return joined


@cache
def _cartesian_tensor(formula: str) -> tuple[o3.Irreps, Tensor]:
    """Irreps and change of basis of one formula, which e3nn takes long to find."""
    with float64_default():
        tensor = io.CartesianTensor(formula)
        basis: Tensor = tensor.reduced_tensor_products().change_of_basis
    return o3.Irreps(tensor), basis.reshape(basis.shape[0], -1)
