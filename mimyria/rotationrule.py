"""Rotation: what the tensors of an isolated molecule say about its M and α.

A turned molecule has its dipole moment and polarizability turned along. So the tensors
of its atoms alone give the dipole moment and the anisotropic polarizability, and
whatever they hold beyond that is an error. Unlike the rule of translation this one sees
a transposed APT. It knows no periodic cells: in these nothing can be turned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import FrameError, ShapeError
from mimyria.frame import Array, Frame
from mimyria.tensors import Tensors

__all__ = ["Rotation", "rotation_rule"]

_LEVI_CIVITA: Final = np.zeros((3, 3, 3))
for _a, _b, _c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _LEVI_CIVITA[_a, _b, _c], _LEVI_CIVITA[_b, _a, _c] = 1.0, -1.0


@dataclass(frozen=True, slots=True, eq=False)
class Rotation:
    """What follows from the rule of rotation; None where there is no such tensor.

    Attributes:
        dipole: (3,) e Å — dipole moment M; of an ion, about the origin of positions.
        dipole_residual: rms of an element of what no M explains, e Å.
        anisotropy: (3, 3) e² a0² Eh⁻¹ — polarizability α less a third of its trace.
        anisotropy_residual: rms of an element of what no α explains, likewise.
    """

    dipole: Array | None = None
    dipole_residual: float | None = None
    anisotropy: Array | None = None
    anisotropy_residual: float | None = None


def rotation_rule(frame: Frame, tensors: Tensors) -> Rotation:
    """Dipole moment and anisotropic polarizability of a molecule from its tensors.

    Σ_i Σ_be P_i[a, b] ε_bde r_ie = ε_ade M_e
    Σ_i Σ_ce Q_i[a, b, c] ε_cde r_ie = ε_ade α_eb + ε_bde α_ae

    Args:
        frame: positions, Å, of a molecule that repeats along no axis.
        tensors: of all its atoms.

    Raises:
        FrameError: the frame repeats along an axis.
        ShapeError: the tensors are of another number of atoms.

    Source: docs/theory.md, eq. (120).
    """
    if any(frame.pbc):
        raise FrameError(
            f"step {frame.step}: the rule of rotation is for isolated molecules, but "
            "the frame repeats. Write pbc='F F F' if it is one."
        )
    for name in ("apt", "pgt"):
        tensor = getattr(tensors, name)
        if tensor is not None and len(tensor) != frame.n_atoms:
            raise ShapeError(
                f"{name} must be that of {frame.n_atoms} atoms, but has {len(tensor)}."
            )
    turned = np.einsum("cde,ie->icd", _LEVI_CIVITA, frame.positions)
    dipole = anisotropy = dipole_rest = rest = None
    if tensors.apt is not None:
        dipole, dipole_rest = _dipole(np.einsum("iab,ibd->ad", tensors.apt, turned))
    if tensors.pgt is not None:
        change = np.einsum("iabc,icd->abd", tensors.pgt, turned)
        anisotropy, rest = _anisotropy(change)
    return Rotation(dipole, dipole_rest, anisotropy, rest)


def _dipole(change: Array) -> tuple[Array, float]:
    """M from ∂M_a/∂φ_d, (3, 3): its antisymmetric part; and the rms of the rest."""
    dipole = np.einsum("ade,ad->e", _LEVI_CIVITA, change) / 2
    return dipole, _rms(change - np.einsum("ade,e->ad", _LEVI_CIVITA, dipole))


def _anisotropy(change: Array) -> tuple[Array, float]:
    """Traceless α from ∂α_ab/∂φ_d, (3, 3, 3); and the rms of the rest.

    The contraction of the change that α causes with ε_adg is 3 α_gb − δ_gb Tr α.
    Contractions of this kind are orthogonal projections, so that it is a least-squares
    fit for what no α causes.
    """
    third = np.einsum("adg,abd->gb", _LEVI_CIVITA, change) / 3
    alpha = (third + third.T) / 2
    alpha -= np.trace(alpha) / 3 * np.eye(3)
    caused = np.einsum("ade,eb->abd", _LEVI_CIVITA, alpha)
    return alpha, _rms(change - caused - caused.transpose(1, 0, 2))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
