"""The two indices in which a PGT is symmetric: looked for, demanded, made exact.

∂α_ab/∂r_c is symmetric in a and b. So a wrong index order shows in a PGT, which it does
not in an APT. What finite differences or single precision leave of an antisymmetric
part is removed.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from mimyria.errors import UnitError
from mimyria.frame import Array

__all__ = ["pair_asymmetry", "symmetric_pair"]

_TOLERATED: Final = 0.05
"""Antisymmetric part, relative to the whole, above which an order is not believed."""
_NOISE: Final = 1e-4
"""e² a0² Eh⁻¹ Å⁻¹; what is smaller says nothing about the order."""


def pair_asymmetry(pgt: Array, first: int, second: int) -> float:
    """Root mean square of the part that is antisymmetric in two of the indices.

    Args:
        pgt: (n, 3, 3, 3).
        first: 0, 1 or 2.
        second: likewise.
    """
    other = pgt.swapaxes(1 + first, 1 + second)
    return _rms(0.5 * (pgt - other))


def symmetric_pair(pgt: Array) -> Array:
    """The part that is symmetric in a and b, if that is nearly all.

    Args:
        pgt: (n, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — pgt[i, a, b, c], finite.

    Raises:
        UnitError: it is not; says which indices are.
    """
    size, left = _rms(pgt), pair_asymmetry(pgt, 0, 1)
    if left > max(_TOLERATED * size, _NOISE):
        others = {
            "first and last": pair_asymmetry(pgt, 0, 2),
            "last two": pair_asymmetry(pgt, 1, 2),
        }
        best = min(others, key=lambda name: others[name])
        found = (
            f"it is symmetric in the {best}: the index order is another"
            if others[best] <= max(_TOLERATED * size, _NOISE)
            else "nor is it in any other two: is it a PGT?"
        )
        raise UnitError(
            "a PGT must be symmetric in its first two indices (those of α) after the "
            f"conversion to our order, but {left / size:.0%} of it is not; {found}."
        )
    symmetric: Array = 0.5 * (pgt + pgt.swapaxes(1, 2))
    return symmetric


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
