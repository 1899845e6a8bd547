"""Stencils: which electric fields to compute, and how strong they may be."""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

__all__ = [
    "SAME_FIELD",
    "apt_stencil",
    "fourth_order_stencil",
    "opposite_pairs",
    "pgt_stencil",
    "recommended_step",
    "with_zero_field",
]

SAME_FIELD: Final = 1e-6
"""Of the largest field of a set; two vectors closer than this are one."""

_LARGEST_STEP: Final = 2e-3  # a.u.; beyond, truncation wins over force noise
_BREAKDOWN_SHARE: Final = 0.25  # of the field at which a cell would break through


def apt_stencil(step: float) -> Array:
    """(6, 3): plus and minus `step` along each axis, in the unit of `step`."""
    axes = step * np.eye(3)
    return np.stack([sign * axis for axis in axes for sign in (1.0, -1.0)])


def pgt_stencil(step: float) -> Array:
    """(13, 3): zero, the six of `apt_stencil`, and ±(x+y), ±(x+z), ±(y+z).

    `step` is the size of each component, so the last six are √2 longer.
    """
    axes = step * np.eye(3)
    diagonal = [
        sign * (axes[a] + axes[b])
        for a, b in ((0, 1), (0, 2), (1, 2))
        for sign in (1.0, -1.0)
    ]
    return np.vstack([np.zeros((1, 3)), apt_stencil(step), diagonal])


def fourth_order_stencil(step: float) -> Array:
    """(25, 3): `pgt_stencil` at one and two steps, for fits of degree 4.

    Truncation errors go with step⁴ instead of step², but noise is 1.3 times
    that of `pgt_stencil` at the same step, at twice the price. It pays where fields may
    be strong: molecules in vacuum, with forces that are noisy. In a periodic cell the
    strongest field, here twice the step, is limited by the gap.
    """
    inner = pgt_stencil(step)
    return np.vstack([inner, 2.0 * inner[1:]])


def with_zero_field(fields: Array) -> Array:
    """(n, 3): the fields, the zero field before all others, added if it is missing.

    The point at zero field is where the wave functions of all others start from.
    """
    others = fields[np.abs(fields).max(axis=1) > 0]
    return np.vstack([np.zeros((1, 3)), others + 0.0])  # -0 becomes 0


def recommended_step(gap: float, length: float) -> float:
    """Component of the fields: min(2e-3, ¼ gap/length), a.u.

    In a periodic cell a field is only metastable: over the length of the cell it must
    not bridge the gap.

    Args:
        gap: band gap, eV.
        length: longest edge of the cell, Å.
    """
    if not (gap > 0 and length > 0):
        raise SettingsError(f"gap and length must be above 0, not {gap} and {length}.")
    breakdown = (gap / EV_PER_HARTREE) / (length / ANGSTROM_PER_BOHR)
    return min(_LARGEST_STEP, _BREAKDOWN_SHARE * breakdown)


def opposite_pairs(vectors: Array) -> list[tuple[int, int]]:
    """Indices of E and −E, those along the axes first, each field in one pair at most.

    Of the two the one whose first component is positive comes first.
    """
    small = SAME_FIELD * float(np.abs(vectors).max())
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for plus, vector in enumerate(vectors):
        components = np.flatnonzero(np.abs(vector) > small)
        if not len(components) or vector[components[0]] < 0:
            continue
        for minus in np.flatnonzero(np.abs(vectors + vector).max(axis=1) <= small):
            if int(minus) not in taken:
                taken.add(int(minus))
                pairs.append((plus, int(minus)))
                break
    return sorted(
        pairs, key=lambda pair: np.count_nonzero(np.abs(vectors[pair[0]]) > small) > 1
    )
