"""Local field: from tensors in the field outside a cluster to those of the liquid.

The tensors of a liquid belong to the macroscopic field in it. A finite cluster weakens
the field that is applied from outside by the charges on its surface, however large it
is, and the tensors of its inner molecules are too small by as much. For a sphere the
part that is left follows from the cluster's own polarizability.
"""

from __future__ import annotations

import numpy as np

from mimyria.errors import IncompatibleError, ShapeError
from mimyria.frame import Array
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_BOHR

__all__ = ["field_inside", "tensors_of_the_liquid"]


def field_inside(polarizability: Array, volume: float) -> Array:
    """Macroscopic field inside a nearly spherical cluster for one outside.

    L = 1 − 4π α / 3V, which is 3 / (ε + 2) for a sphere of permittivity ε.

    Args:
        polarizability: (3, 3) e² a0² Eh⁻¹ — of the whole cluster, dM_a/dE_b.
        volume: Å³ — of the cluster, at the density of the liquid.

    Returns:
        (3, 3) — E_inside = L E_outside.

    Raises:
        ShapeError: the polarizability is no matrix.
        IncompatibleError: nothing of the field would be left; the volume is too small.

    Source: docs/theory.md, eq. (70).
    """
    if polarizability.shape != (3, 3):
        raise ShapeError(
            f"the polarizability must have the shape (3, 3), but has "
            f"{polarizability.shape}."
        )
    symmetric = 0.5 * (polarizability + polarizability.T)
    susceptibility = symmetric * ANGSTROM_PER_BOHR**3 / volume
    left: Array = np.eye(3) - 4.0 / 3.0 * np.pi * susceptibility
    smallest = float(np.linalg.eigvalsh(left)[0])
    if not smallest > 0:
        raise IncompatibleError(
            f"the field in a cluster must be above zero, but would be {smallest:.3f} "
            f"times the one outside. Is {volume:g} Å³ the volume of the whole cluster?"
        )
    return left


def tensors_of_the_liquid(tensors: Tensors, inside: Array) -> Tensors:
    """Tensors by the macroscopic field from those by the field outside.

    P = L⁻ᵀ P_outside in the index of the field, and Q in both of its own.

    Args:
        tensors: of the inner molecules of a cluster.
        inside: (3, 3) — L of `field_inside`.

    Source: docs/theory.md, eq. (71).
    """
    back = np.linalg.inv(inside).T
    apt = pgt = None
    if tensors.apt is not None:
        apt = np.einsum("ax,ixb->iab", back, tensors.apt)
    if tensors.pgt is not None:
        pgt = np.einsum("ax,by,ixyc->iabc", back, back, tensors.pgt)
    return Tensors(apt, pgt)
