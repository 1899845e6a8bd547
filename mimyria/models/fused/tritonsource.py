"""Text of the Triton kernel for one tiling: every loop over components written out.

Triton has no arrays of registers, so each sum is a variable of its own: `s_1_2` is
S[m1 = 1, m2 = 2], for some edges and channels. Only what its compiler takes is used:
sizes that are powers of two, no lists, reductions along whole axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mimyria.models.fused.problem import PADDING, POINTS
from mimyria.models.fused.tiling import Coupling, Loop, Tile, Tiling

__all__ = ["KERNEL", "arguments", "kernel_source"]

KERNEL: Final = "convolve"
"""Name of the kernel in the text."""

_HEAD: Final = """\
import triton
import triton.language as tl


@triton.jit
def add(one, other):
    return one + other
"""

_LOOP: Final = """\
@triton.jit
def {name}({arguments}):
    channels = tl.arange(0, {padding})[None, :]
    intervals_per_length = tl.load(scales)
    cutoff = tl.load(scales + 1)
{zeros}
    for start in range(first, last, {edges}):
        edge = start + tl.arange(0, {edges})
        here = edge < last
        length = tl.load(lengths + edge, mask=here, other=0.0).to(tl.float64)
        inside = here & (length < cutoff)
        place = tl.where(inside, length * intervals_per_length, 0.0)
        row = tl.minimum(place.to(tl.int64), n_rows - {points})
        u = (place - row.to(tl.float64)).to({real})
{kinds}
        in_table = (row * {n_weights} + weight)[:, None] + channels
{factors}
{weights}
        harmonic = edge * {dim_sphere} + sphere_start
{sphere}
        sender = tl.load(senders + edge, mask=here, other=0)
        feature = (sender * {row_size} + {channel})[:, None] + channels
{sums}
    place_out = tl.arange(0, {padding}) + out_channel
{couplings}
"""

_KERNEL: Final = """\
@triton.jit
def {name}({arguments}):
    receiver = tl.program_id(0).to(tl.int64)
    first = tl.load(rows + receiver)
    last = tl.load(rows + receiver + 1)
    tile = tiles + tl.program_id(1) * {n_fields}
{fields}
    weight = weight * {padding}
    out_channel = out_channel * {padding}
{calls}
"""


def arguments(tiling: Tiling) -> list[str]:
    """Names of the arguments of the kernel, in order."""
    return [
        *(f"features_{k}" for k in range(len(tiling.channels_in))),
        *(f"outputs_{k}" for k in range(len(tiling.channels_out))),
        *("rows", "senders", "kinds", "lengths", "sphere", "table", "scales"),
        *("tiles", "n_rows"),
    ]


def kernel_source(tiling: Tiling) -> str:
    """The module that holds the kernel, as text."""
    loops = [_loop(tiling, number) for number in range(len(tiling.loops))]
    return "\n\n".join([_HEAD, *loops, _kernel(tiling)])


def _kernel(tiling: Tiling) -> str:
    """The kernel: reads its tile and enters the loop that it names."""
    names = _loop_arguments(tiling)
    calls: list[str] = []
    for number in range(len(tiling.loops)):
        calls += [f"if loop == {number}:", f"    loop_{number}({', '.join(names)})"]
    renamed = {"sphere": "sphere_start"}
    fields = [
        f"{renamed.get(field, field)} = tl.load(tile + {k})"
        for k, field in enumerate(Tile._fields)
    ]
    return _KERNEL.format(
        name=KERNEL,
        arguments=", ".join(arguments(tiling)),
        n_fields=len(Tile._fields),
        padding=PADDING,
        fields=_indented(fields, 1),
        calls=_indented(calls, 1),
    )


def _loop_arguments(tiling: Tiling) -> list[str]:
    """What a loop is given: arguments of the kernel, and what is in the tile."""
    passed = [name for name in arguments(tiling) if name not in ("rows", "tiles")]
    fields = ("coupling", "channel", "sphere_start", "weight", "out_channel")
    return [*passed, "receiver", "first", "last", *fields]


def _loop(tiling: Tiling, number: int) -> str:
    """One loop over edges and what follows it."""
    loop = tiling.loops[number]
    real = "tl.float64" if tiling.double else "tl.float32"
    couplings: list[str] = []
    for k, coupling in enumerate(loop.couplings):
        couplings.append(f"if coupling == {k}:")
        couplings += [f"    {line}" for line in _coupling(tiling, loop, coupling)]
    return _LOOP.format(
        name=f"loop_{number}",
        arguments=", ".join(_loop_arguments(tiling)),
        padding=PADDING,
        edges=loop.edges,
        points=POINTS,
        real=real,
        n_weights=tiling.n_weights,
        dim_sphere=tiling.dim_sphere,
        row_size=loop.dim_in * tiling.channels_in[loop.input],
        # In this form the compiler sees that several channels can be loaded at a time.
        channel=f"channel // {PADDING} * {PADDING}" if loop.aligned else "channel",
        zeros=_indented(_zeros(loop, real), 1),
        kinds=_indented(_kinds(tiling), 2),
        factors=_indented(_factors(), 2),
        weights=_indented(_weights(tiling), 2),
        sphere=_indented(_sphere(loop), 2),
        sums=_indented(_sums(tiling, loop), 2),
        couplings=_indented(couplings, 1),
    )


def _zeros(loop: Loop, real: str) -> Iterator[str]:
    shape = f"[{loop.edges}, {PADDING}]"
    for m1, m2 in _products(loop):
        yield f"s_{m1}_{m2} = tl.full({shape}, 0.0, {real})"


def _kinds(tiling: Tiling) -> Iterator[str]:
    """Go to the table of the kind of an edge."""
    if tiling.has_kinds:
        yield "row += tl.load(kinds + edge, mask=here, other=0) * n_rows"


def _factors() -> Iterator[str]:
    """Lagrange's factors of the rows around u = 0 … 1, as in interpolation.py."""
    nodes = [k - (POINTS // 2 - 1) for k in range(POINTS)]
    for k, node in enumerate(nodes):
        others = [other for other in nodes if other != node]
        denominator = 1
        for other in others:
            denominator *= node - other
        product = " * ".join(f"(u - {float(other)})" for other in others)
        yield f"f_{k} = tl.where(inside, {product} * {1.0 / denominator!r}, 0.0)"


def _weights(tiling: Tiling) -> Iterator[str]:
    """Radial weights: rows of the table times their factors; none beyond the end."""
    for k in range(POINTS):
        place = f"in_table + {k * tiling.n_weights}"
        row = f"tl.load(table + {place}, mask=here[:, None], other=0.0)"
        yield f"w {'=' if k == 0 else '+='} f_{k}[:, None] * {row}"


def _sphere(loop: Loop) -> Iterator[str]:
    for m2 in range(loop.dim_sphere):
        load = f"tl.load(sphere + harmonic + {m2}, mask=here, other=0.0)"
        yield f"y_{m2} = {load}[:, None]"


def _sums(tiling: Tiling, loop: Loop) -> Iterator[str]:
    """Add the products of some edges to the sums."""
    channels = tiling.channels_in[loop.input]
    for m1 in range(loop.dim_in):
        place = f"features_{loop.input} + feature + {m1 * channels}"
        yield f"x = w * tl.load({place}, mask=here[:, None], other=0.0)"
        for m2 in range(loop.dim_sphere):
            yield f"s_{m1}_{m2} += x * y_{m2}"


def _coupling(tiling: Tiling, loop: Loop, coupling: Coupling) -> Iterator[str]:
    """Combine the sums to components of the result, then sum over the lanes' edges."""
    channels = tiling.channels_out[coupling.output]
    row = f"receiver * {coupling.dim * channels}"
    yield f"row_out = outputs_{coupling.output} + {row} + place_out"
    for m3 in range(coupling.dim):
        terms = [
            f"{term.value!r} * s_{term.m1}_{term.m2}"
            for term in coupling.terms
            if term.m3 == m3
        ]
        value = f"tl.reduce({' + '.join(terms)}, 0, add)" if terms else "0.0"
        yield f"tl.store(row_out + {m3 * channels}, {value})"


def _products(loop: Loop) -> Iterator[tuple[int, int]]:
    for m1 in range(loop.dim_in):
        for m2 in range(loop.dim_sphere):
            yield m1, m2


def _indented(lines: Iterator[str] | list[str], depth: int) -> str:
    return "\n".join("    " * depth + line for line in lines)
