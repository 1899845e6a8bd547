"""Cross power of pairs of channels: the one loop that costs in a correlator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["cross_power"]


def cross_power(
    earlier: NDArray[np.complex128],
    later: NDArray[np.complex128],
    pairs: Sequence[tuple[int, int]],
) -> NDArray[np.complex128]:
    """Symmetrised products of transforms, one row for each pair.

    Σ_c [E_uc(f) L_vc(f) + E_vc(f) L_uc(f)] / 2

    One product at a time, into one buffer: all at once would take as much memory as
    the accumulators themselves.

    Args:
        earlier: (n_channels, n_components, n_frequencies) — conjugated, weighted.
        later: the same shape.
        pairs: of channels (u, v).

    Returns:
        (n_pairs, n_frequencies).
    """
    half = 0.5 * later
    n_frequencies = earlier.shape[-1]
    power = np.zeros((len(pairs), n_frequencies), np.complex128)
    product = np.empty(n_frequencies, np.complex128)
    for row, (u, v) in zip(power, pairs, strict=True):
        terms = [(u, later[u])] if u == v else [(u, half[v]), (v, half[u])]
        for channel, partners in terms:
            for one, partner in zip(earlier[channel], partners, strict=True):
                np.multiply(one, partner, out=product)
                row += product
    return power
