"""The kernel of `cuda`, in the language of Triton. Importing it needs Triton.

Each row of `tiles` says what one program does, all counts in numbers of one atom:

    0 features before the block · 1 size of the block · 2 its channels · 3 first channel
    4 channels that are left · 5 products (2 l1 + 1)(2 l2 + 1) · 6 2 l2 + 1
    7 first harmonic · 8 first radial weight · 9 first coupling coefficient
    10 2 l3 + 1 · 11 results before the block · 12 its channels · 13 first channel
"""

import triton
import triton.language as tl

__all__ = ["convolution"]

_POINTS = tl.constexpr(6)
_FIELDS = tl.constexpr(14)


@triton.jit
def convolution(
    features,
    n_atoms,
    rows,
    senders,
    kinds,
    lengths,
    sphere,
    dim_sphere,
    table,
    n_rows,
    n_weights,
    scales,
    couplings,
    tiles,
    result,
    n_receivers,
    HAS_KINDS: tl.constexpr,
    PRODUCTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Messages of one path to one receiver, for some channels; see `Problem`."""
    receiver = tl.program_id(0).to(tl.int64)
    tile = tiles + tl.program_id(1) * _FIELDS
    block = tl.load(tile) * n_atoms
    size = tl.load(tile + 1)
    wide = tl.load(tile + 2)
    first = tl.load(tile + 3)
    left_over = tl.load(tile + 4)
    n_products = tl.load(tile + 5)
    n_harmonics = tl.load(tile + 6)
    harmonic = tl.load(tile + 7)
    column = tl.load(tile + 8)
    channel = tl.arange(0, CHANNELS)
    present = channel < left_over
    product = tl.arange(0, PRODUCTS)
    real = product < n_products
    inner = (product // n_harmonics) * wide + first
    outer = harmonic + product % n_harmonics
    both = real[:, None] & present[None, :]
    per_angstrom = tl.load(scales)
    cutoff = tl.load(scales + 1)
    intervals = n_rows - (_POINTS - 1)
    sums = tl.zeros([PRODUCTS, CHANNELS], dtype=features.dtype.element_ty)
    begin = tl.load(rows + receiver)
    end = tl.load(rows + receiver + 1)
    for edge in range(begin, end):
        r = tl.load(lengths + edge).to(tl.float64)
        place = r * per_angstrom
        left = tl.minimum(place.to(tl.int64), intervals - 1)
        u = place - left.to(tl.float64)
        row = tl.load(kinds + edge) * n_rows + left if HAS_KINDS else left
        start = table + row * n_weights + column
        weights = tl.zeros([CHANNELS], dtype=features.dtype.element_ty)
        for k in tl.static_range(_POINTS):
            factor = u * 0.0 + 1.0
            for m in tl.static_range(_POINTS):
                if m != k:
                    factor = factor * (u + (_POINTS // 2 - 1) - m) / (k - m)
            near = tl.load(start + k * n_weights + channel, mask=present, other=0.0)
            weights += near * factor.to(features.dtype.element_ty)
        weights = tl.where(r < cutoff, weights, 0.0)
        sender = features + block + tl.load(senders + edge) * size
        x = tl.load(sender + inner[:, None] + channel[None, :], mask=both, other=0.0)
        y = tl.load(sphere + edge * dim_sphere + outer, mask=real, other=0.0)
        sums += x * y[:, None] * weights[None, :]
    coupling = couplings + tl.load(tile + 9)
    n_components = tl.load(tile + 10)
    out_wide = tl.load(tile + 12)
    out = result + tl.load(tile + 11) * n_receivers
    out += receiver * n_components * out_wide + tl.load(tile + 13)
    for component in range(0, n_components):
        c = tl.load(coupling + product * n_components + component, mask=real, other=0.0)
        total = tl.sum(sums * c[:, None], axis=0)
        tl.store(out + component * out_wide + channel, total, mask=present)
