"""Currents: time derivatives of dipole and polarizability from tensors and velocities.

A current is one sample of a time series; this module knows nothing of the series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import FrameError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.tensors import Tensors

__all__ = [
    "VOIGT",
    "Currents",
    "currents",
    "dipole_velocity",
    "from_voigt",
    "polarizability_velocity",
    "to_voigt",
]

VOIGT: Final = ("xx", "yy", "zz", "xy", "xz", "yz")
"""Order of the six components of a symmetric tensor, everywhere in mimyria."""

_VOIGT_ROWS: Final = (0, 1, 2, 0, 0, 1)
_VOIGT_COLUMNS: Final = (0, 1, 2, 1, 2, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Currents:
    """Dipole and polarizability velocity of one frame.

    Attributes:
        dipole: (3,) e Å/fs — dM/dt, or None.
        polarizability: (6,) e² a0² Eh⁻¹ fs⁻¹ — dα/dt in the order of `VOIGT`, or None.
    """

    dipole: Array | None
    polarizability: Array | None

    def __post_init__(self) -> None:
        """Check shapes once."""
        for name, array, size in (
            ("dipole", self.dipole, 3),
            ("polarizability", self.polarizability, 6),
        ):
            if array is not None and array.shape != (size,):
                raise ShapeError(
                    f"{name} must have the shape {(size,)}, but has {array.shape}."
                )


def to_voigt(tensor: Array) -> Array:
    """Six components of the symmetric part of (..., 3, 3), in the order of `VOIGT`."""
    symmetric = 0.5 * (tensor + np.swapaxes(tensor, -1, -2))
    voigt: Array = symmetric[..., _VOIGT_ROWS, _VOIGT_COLUMNS]
    return voigt


def from_voigt(components: Array) -> Array:
    """Symmetric (..., 3, 3) tensor of six components; the inverse of `to_voigt`."""
    tensor = np.empty((*components.shape[:-1], 3, 3))
    tensor[..., _VOIGT_ROWS, _VOIGT_COLUMNS] = components
    tensor[..., _VOIGT_COLUMNS, _VOIGT_ROWS] = components
    return tensor


def dipole_velocity(apt: Array, velocities: Array) -> Array:
    """Time derivative of the total dipole moment.

    dM_a/dt = Σ_i Σ_b P_i[a, b] v_i[b]

    Args:
        apt: (n_atoms, 3, 3) e — apt[i, a, b] = ∂M_a/∂r_ib.
        velocities: (n_atoms, 3) Å/fs.

    Returns:
        (3,) e Å/fs.

    Source: docs/theory.md, eq. (1).
    """
    current: Array = np.einsum("iab,ib->a", apt, velocities)
    return current


def polarizability_velocity(pgt: Array, velocities: Array) -> Array:
    """Time derivative of the total polarizability.

    dα_ab/dt = Σ_i Σ_c Q_i[a, b, c] v_i[c]

    Args:
        pgt: (n_atoms, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — pgt[i, a, b, c] = ∂α_ab/∂r_ic.
        velocities: (n_atoms, 3) Å/fs.

    Returns:
        (6,) e² a0² Eh⁻¹ fs⁻¹, in the order of `VOIGT`.

    Source: docs/theory.md, eq. (2).
    """
    return to_voigt(np.einsum("iabc,ic->ab", pgt, velocities))


def currents(frame: Frame, tensors: Tensors) -> Currents:
    """Both currents of one frame, each only where its tensor is given.

    Raises:
        FrameError: the frame has no velocities.
    """
    if frame.velocities is None:
        raise FrameError(
            f"step {frame.step}: a current needs velocities, but the frame has none. "
            "Take central differences of consecutive frames first."
        )
    velocities = frame.velocities
    return Currents(
        None if tensors.apt is None else dipole_velocity(tensors.apt, velocities),
        None
        if tensors.pgt is None
        else polarizability_velocity(tensors.pgt, velocities),
    )
