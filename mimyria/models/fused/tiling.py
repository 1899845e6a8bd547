"""The fused convolution cut into kernels, and into the pieces that their programs do.

A program has one receiver and one tile: `PADDING` channels of one path. It walks over
the edges of the receiver, some at a time, and keeps the sums

    S[m1, m2, u] = Σ_j w_u(r_ij) x_j[m1, u] Y_ij[m2]

in registers; the coupling coefficients then act once on the sums. Paths with the same
block of features and the same two l share their loop, and differ in where they read and
in their coefficients. A kernel has a few loops of about the same size: the time of
Triton's compiler grows with the third power of its length, and each of its programs
takes the registers of the greediest loop. It knows `Problem`, and nothing of Triton.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import torch

from mimyria.models.fused.problem import PADDING, PathPlan, Problem

__all__ = ["Coupling", "Loop", "Term", "Tile", "Tiling", "make_tilings"]

# 32-bit registers of a thread for the sums: with what else a loop needs it stays below
# the 255 that a thread may have, and leaves room for several programs at a time.
_REGISTERS: Final = 100

_THREADS: Final = 32
"""Threads of a program: one warp, so that its edges are summed without a barrier."""

_MOST_EDGES: Final = 16
_FEWEST_EDGES: Final = 4  # one number for each thread


_LENGTH: Final = 170
"""Length of a kernel, in sums: a few seconds of the compiler."""

_LENGTH_BESIDES: Final = 12
"""Length of what a loop has besides its sums, in sums."""


class Term(NamedTuple):
    """A coupling coefficient that is not zero, for components of x, Y and result."""

    m1: int
    m2: int
    m3: int
    value: float


@dataclass(frozen=True, slots=True)
class Coupling:
    """What becomes of the sums.

    Attributes:
        output: number of the block of the result.
        dim: 2 l + 1 of the result.
        terms: coefficients that are not zero.
    """

    output: int
    dim: int
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop over edges.

    Attributes:
        input: number of the block of features.
        dim_in: 2 l + 1 of the features.
        dim_sphere: 2 l + 1 of the spherical harmonics.
        aligned: whether its channels of features begin at multiples of `PADDING`, so
            that several of them are loaded at a time.
        edges: edges that a program has in its registers at a time.
        couplings: what may follow.
    """

    input: int
    dim_in: int
    dim_sphere: int
    aligned: bool
    edges: int
    couplings: tuple[Coupling, ...]


class Tile(NamedTuple):
    """What a program is told, besides its receiver.

    Attributes:
        loop: number of the loop.
        coupling: number of the coupling within the loop.
        channel: first channel in the block of features.
        sphere: first spherical harmonic.
        weight: first radial weight, in units of `PADDING`.
        out_channel: first channel in the block of the result, in the same units.
    """

    loop: int
    coupling: int
    channel: int
    sphere: int
    weight: int
    out_channel: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """All that the code of one kernel depends on, and the tiles that it works on.

    Attributes:
        double: float64, else float32.
        has_kinds: whether edges say which table they take.
        channels_in: channels of each block of features.
        channels_out: channels of each block of the result.
        dim_sphere: spherical harmonics of an edge.
        n_weights: radial weights of a table.
        loops: distinct loops.
        tiles: the most expensive first, so that no long program is left at the end.
    """

    double: bool
    has_kinds: bool
    channels_in: tuple[int, ...]
    channels_out: tuple[int, ...]
    dim_sphere: int
    n_weights: int
    loops: tuple[Loop, ...]
    tiles: tuple[Tile, ...]


def make_tilings(problem: Problem) -> list[Tiling]:
    """Cut a problem; reads its coefficients, but nothing of atoms and edges.

    Returns:
        What each kernel does, the most expensive first. A channel of the result is the
        business of one tile of one kernel.
    """
    loops, tiles = _cut(problem)
    return [
        Tiling(
            problem.sphere.dtype == torch.float64,
            problem.kinds is not None,
            tuple(block.shape[2] for block in problem.features),
            tuple(problem.outputs[1::2]),
            problem.sphere.shape[1],
            problem.table.shape[2],
            tuple(loops[first:last]),
            tuple(
                tile._replace(loop=tile.loop - first)
                for tile in tiles
                if first <= tile.loop < last
            ),
        )
        for first, last in _kernels(loops)
    ]


def _cut(problem: Problem) -> tuple[list[Loop], list[Tile]]:
    """Distinct loops and all tiles, both with most sums first."""
    double = problem.sphere.dtype == torch.float64
    coefficients = problem.couplings.tolist()
    found: dict[tuple[int, int, int, bool], dict[Coupling, list[PathPlan]]] = {}
    for path in sorted(problem.paths(), key=_cheapness):
        aligned = path.channel % PADDING == 0
        key = (path.input, path.dim_in, path.dim_sphere, aligned)
        sums = found.setdefault(key, {})
        sums.setdefault(_coupling(path, coefficients), []).append(path)
    loops, tiles = [], []
    for number, (key, sums) in enumerate(found.items()):
        edges = _edges_at_once(key[1] * key[2], double)
        loops.append(Loop(*key, edges, tuple(sums)))
        for coupling, members in enumerate(sums.values()):
            for path in members:
                tiles += _tiles(path, number, coupling)
    return loops, tiles


def _kernels(loops: list[Loop]) -> list[tuple[int, int]]:
    """First loop of each kernel and one past its last: few kernels, about as long."""
    lengths = [_LENGTH_BESIDES + loop.dim_in * loop.dim_sphere for loop in loops]
    total, before = sum(lengths), 0
    count = -(-total // _LENGTH)
    firsts: dict[int, int] = {}
    for number, length in enumerate(lengths):
        firsts.setdefault(count * (2 * before + length) // (2 * total), number)
        before += length
    return list(pairwise([*firsts.values(), len(loops)]))


def _cheapness(path: PathPlan) -> int:
    """Sums of a path, negative."""
    return -path.dim_in * path.dim_sphere


def _coupling(path: PathPlan, coefficients: list[float]) -> Coupling:
    """The coefficients C[m1, m2, m3] of a path that are not zero."""
    terms, place = [], path.coupling
    for m1 in range(path.dim_in):
        for m2 in range(path.dim_sphere):
            for m3 in range(path.dim_out):
                if coefficients[place] != 0.0:
                    terms.append(Term(m1, m2, m3, coefficients[place]))
                place += 1
    return Coupling(path.output, path.dim_out, tuple(terms))


def _edges_at_once(n_sums: int, double: bool) -> int:
    """As many edges as the registers hold sums for, a power of two."""
    edges = _MOST_EDGES
    while edges > _FEWEST_EDGES:
        numbers = edges * PADDING // _THREADS
        if numbers * n_sums * (2 if double else 1) <= _REGISTERS:
            break
        edges //= 2
    return edges


def _tiles(path: PathPlan, loop: int, coupling: int) -> list[Tile]:
    """The tiles of a path."""
    return [
        Tile(
            loop,
            coupling,
            path.channel + k * PADDING,
            path.sphere,
            path.weight // PADDING + k,
            path.out_channel // PADDING + k,
        )
        for k in range(path.n_channels // PADDING)
    ]
