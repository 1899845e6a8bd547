"""The fused convolution in torch alone: for any device, and where no compiler is.

Receivers with about the same number of edges are padded to one, so that the sum over
edges is a batch of matrix products; it needs no atomic additions and gives the same
bits every time. Memory is bounded by working on pieces of receivers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from mimyria.models.fused.interpolation import interpolated
from mimyria.models.fused.problem import PathPlan, Problem

__all__ = ["convolve"]

# Edges, filled up, in a piece: intermediate arrays stay in the cache of a core, or
# occupy a GPU.
_PIECE: Final = {"cpu": 4096}
_PIECE_ELSEWHERE: Final = 1 << 16


def convolve(problem: Problem) -> list[Tensor]:
    """Blocks (n_receivers, 2 l + 1, channels) of the result."""
    outputs = problem.empty_outputs()
    for first, last, width in _pieces(problem):
        if width == 0:
            for output in outputs:
                output[first:last] = 0.0
            continue
        _convolve_piece(problem, outputs, first, last, width)
    return outputs


def _pieces(problem: Problem) -> Iterator[tuple[int, int, int]]:
    """First and last receiver of each piece, and the most edges that one of it has."""
    limit = _PIECE.get(problem.rows.device.type, _PIECE_ELSEWHERE)
    first, width = 0, 0
    for receiver, degree in enumerate(problem.rows.diff().tolist()):
        wider = max(width, degree)
        if receiver > first and wider * (receiver + 1 - first) > limit:
            yield first, receiver, width
            first, wider = receiver, degree
        width = wider
    if first < problem.n_receivers:
        yield first, problem.n_receivers, width


def _convolve_piece(
    problem: Problem, outputs: list[Tensor], first: int, last: int, width: int
) -> None:
    """Fill `outputs` for receivers first … last − 1, each with up to `width` edges."""
    rows = problem.rows[first : last + 1]
    places = rows[:-1, None] + torch.arange(width, device=rows.device)
    present = places < rows[1:, None]
    edges = torch.where(present, places, rows[:-1, None]).flatten()
    edges = edges.clamp(max=len(problem.senders) - 1)
    kinds = None if problem.kinds is None else problem.kinds[edges]
    lengths = problem.lengths[edges]
    weights = interpolated(problem.table, problem.cutoff, kinds, lengths)
    weights *= present.flatten()[:, None]
    sphere = problem.sphere[edges].view(last - first, width, -1).transpose(1, 2)
    senders = problem.senders[edges]
    gathered = [block.index_select(0, senders) for block in problem.features]
    for path in problem.paths():
        summed = _summed_products(path, gathered[path.input], weights, sphere)
        stop = path.out_channel + path.n_channels
        outputs[path.output][first:last, :, path.out_channel : stop] = (
            _couplings(problem, path) @ summed
        )


def _summed_products(
    path: PathPlan, features: Tensor, weights: Tensor, sphere: Tensor
) -> Tensor:
    """Σ_j Y[m2] w x[m1] as (n_receivers, (m2, m1), channels)."""
    channels = slice(path.channel, path.channel + path.n_channels)
    columns = slice(path.weight, path.weight + path.n_channels)
    weighted = features[:, :, channels] * weights[:, None, columns]
    harmonics = sphere[:, path.sphere : path.sphere + path.dim_sphere]
    n_receivers, width = sphere.shape[0], sphere.shape[2]
    summed = harmonics @ weighted.view(n_receivers, width, -1)
    return summed.view(n_receivers, path.dim_sphere * path.dim_in, path.n_channels)


def _couplings(problem: Problem, path: PathPlan) -> Tensor:
    """Coefficients of a path as a matrix (m3, (m2, m1))."""
    shape = (path.dim_in, path.dim_sphere, path.dim_out)
    start = path.coupling
    flat = problem.couplings[start : start + shape[0] * shape[1] * shape[2]]
    return flat.view(shape).permute(2, 1, 0).reshape(path.dim_out, -1)
