"""The fused convolution on CUDA devices: one kernel in Triton, which comes with torch.

A program of the kernel takes one receiver and some channels of one path. It sums the
outer products w x_m1 Y_m2 of all edges in registers, with radial weights from the
table, then lets the coupling coefficients act on the sum, as `kernel.cpp` does. There
are no atomic additions: results are the same bits every time.

Triton is imported when a CUDA tensor comes for the first time. The kernel has been run
by Triton's interpreter and compiled for a GPU; how fast it is has not been measured.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Final, NamedTuple

import torch
from torch import Tensor

from mimyria.errors import KernelError
from mimyria.models.fused.problem import POINTS, Problem

__all__ = ["convolve", "is_available"]

_CHANNELS: Final = 16
"""Channels of a program."""

_log = logging.getLogger(__name__)


class _Layout(NamedTuple):
    """What all programs of one size of products share.

    Attributes:
        products: (2 l1 + 1)(2 l2 + 1), filled up to a power of two.
        tiles: (n_tiles, 14) int64 — path and channels of each program, as
            `tritonkernel` says.
    """

    products: int
    tiles: Tensor


def is_available(device: torch.device, demanded: bool) -> bool:
    """Whether the kernel works on a device; found out once, by a tiny convolution.

    Args:
        device: a CUDA device.
        demanded: raise where it does not.

    Raises:
        KernelError: it is demanded and does not work.
    """
    reason = _reason(device)
    if reason is not None and demanded:
        raise KernelError(
            f"The Triton kernel does not work on {device}: {reason}. Install the "
            "triton that belongs to this torch, and a C compiler, or leave "
            "MIMYRIA_KERNEL away."
        )
    return reason is None


@functools.lru_cache(maxsize=16)
def _reason(device: torch.device) -> str | None:
    """Why the kernel does not work; None where it does."""
    try:
        convolve(_smallest_problem(device))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        _log.warning("networks run slower on %s, in torch alone: %s", device, reason)
        return reason
    return None


def _smallest_problem(device: torch.device) -> Problem:
    """One receiver with one edge, one scalar path."""
    plan = [0, 0, 8, 1, 0, 1, 0, 0, 0, 1, 0]

    def ones(*size: int) -> Tensor:
        return torch.ones(size, device=device)

    edge = torch.zeros(1, dtype=torch.int64, device=device)
    rows = torch.tensor([0, 1], device=device)
    return Problem(
        [ones(1, 1, 8)], rows, edge, None, ones(1), ones(1, 1), ones(1, 6, 8), 2.0,
        plan, ones(1), [1, 8],
    )  # fmt: skip


def convolve(problem: Problem) -> list[Tensor]:
    """Blocks (n_receivers, 2 l + 1, channels) of the result."""
    kernel = _kernel()
    sizes = list(zip(problem.outputs[::2], problem.outputs[1::2], strict=True))
    n_receivers, n_atoms = problem.n_receivers, len(problem.features[0])
    starts = [0]
    for dim, channels in sizes:
        starts.append(starts[-1] + dim * channels)
    features = torch.cat([block.reshape(-1) for block in problem.features])
    result = features.new_empty(n_receivers * starts[-1])
    n_rows, n_weights = problem.table.shape[1], problem.table.shape[2]
    intervals = n_rows - (POINTS - 1)
    # As a tensor: Triton would take a number as single precision.
    scales = torch.tensor(
        [intervals / problem.cutoff, problem.cutoff],
        dtype=torch.float64,
        device=features.device,
    )
    layouts = _layouts(
        tuple(problem.plan),
        tuple(problem.outputs),
        tuple(tuple(block.shape[1:]) for block in problem.features),
        features.device,
    )
    for products, tiles in layouts if n_receivers else []:
        kernel.convolution[(n_receivers, len(tiles))](
            features,
            n_atoms,
            problem.rows.contiguous(),
            problem.senders.contiguous(),
            problem.senders if problem.kinds is None else problem.kinds.contiguous(),
            problem.lengths.contiguous(),
            problem.sphere.contiguous(),
            problem.sphere.shape[1],
            problem.table.contiguous(),
            n_rows,
            n_weights,
            scales,
            problem.couplings.contiguous(),
            tiles,
            result,
            n_receivers,
            HAS_KINDS=problem.kinds is not None,
            PRODUCTS=products,
            CHANNELS=_CHANNELS,
            enable_fp_fusion=True,
            num_warps=1 if products * _CHANNELS <= 256 else 4,
        )
    return [
        result[n_receivers * start : n_receivers * stop].view(n_receivers, *size)
        for start, stop, size in zip(starts, starts[1:], sizes, strict=False)
    ]


def _kernel() -> ModuleType:
    from mimyria.models.fused import tritonkernel

    return tritonkernel


@functools.lru_cache(maxsize=64)
def _layouts(
    plan: tuple[int, ...],
    outputs: tuple[int, ...],
    blocks: tuple[tuple[int, int], ...],
    device: torch.device,
) -> list[_Layout]:
    """Programs of one receiver, by the size of their products.

    Args:
        plan: of the problem.
        outputs: of the problem.
        blocks: 2 l + 1 and channels of each block of features.
        device: where the tiles have to be.
    """
    empty = torch.zeros(0)
    problem = Problem(
        [], empty, empty, None, empty, empty, empty, 0.0, list(plan), empty,
        list(outputs),
    )  # fmt: skip
    before = _starts(blocks)
    results = _starts(tuple(zip(outputs[::2], outputs[1::2], strict=True)))
    tiles: dict[int, list[list[int]]] = {}
    for path in problem.paths():
        channels, wide = blocks[path.input][1], outputs[2 * path.output + 1]
        for first in range(0, path.n_channels, _CHANNELS):
            row = [
                before[path.input],
                path.dim_in * channels,
                channels,
                path.channel + first,
                path.n_channels - first,
                path.dim_in * path.dim_sphere,
                path.dim_sphere,
                path.sphere,
                path.weight + first,
                path.coupling,
                path.dim_out,
                results[path.output],
                wide,
                path.out_channel + first,
            ]
            size = 1 << (path.dim_in * path.dim_sphere - 1).bit_length()
            tiles.setdefault(size, []).append(row)
    return [
        _Layout(size, torch.tensor(rows, dtype=torch.int64, device=device))
        for size, rows in sorted(tiles.items(), reverse=True)
    ]


def _starts(blocks: tuple[tuple[int, int], ...]) -> list[int]:
    """Numbers of one atom before each block."""
    starts = [0]
    for dim, channels in blocks:
        starts.append(starts[-1] + dim * channels)
    return starts
