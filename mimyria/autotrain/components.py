"""Components: tensors and currents as plain vectors whose square a spectrum measures.

A spectrum is a quadratic form of a current, and a current is linear in the tensors.
With the square root of the form put into both, all that is said of errors, committees
and coherence is the same for IR and for every Raman spectrum: scalar products.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.spectra.scattering import PLACZEK, WEIGHTS

__all__ = ["KINDS", "current_components", "irrep_parts", "tensor_components"]

KINDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"ir": ("ir",), "raman": ("raman_iso", "raman_vv", "raman_aniso")}
)
"""Spectra of each observable; the first is the one that is judged by default."""

_TENSOR: Final = {"ir": 9, "raman": 27}
_CURRENT: Final = {"ir": 3, "raman": 6}
_VOIGT_COUNT: Final = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


def tensor_components(kind: str, tensors: Array) -> Array:
    """Tensors of atoms as vectors; their squares over m add up to a mean intensity.

    Args:
        kind: one of `KINDS`.
        tensors: (..., 9) e for `ir`, else (..., 27) e² a0² Eh⁻¹ Å⁻¹, row-major.

    Returns:
        (..., n), in the same unit.

    Source: docs/theory.md, eq. (101).
    """
    if _checked(kind, tensors, _TENSOR) == "ir":
        return tensors
    pgt = tensors.reshape(*tensors.shape[:-1], 3, 3, 3)
    mean = np.einsum("...aac->...c", pgt) / 3
    rest = pgt - np.einsum("ab,...c->...abc", np.eye(3), mean)
    return _joined(kind, mean, rest.reshape(tensors.shape))


def current_components(kind: str, currents: Array) -> Array:
    """Currents as vectors whose scalar product a spectrum correlates.

    Args:
        kind: one of `KINDS`.
        currents: (..., 3) for `ir`, else (..., 6) in the order of `currents.VOIGT`.

    Returns:
        (..., n), in the same unit.

    Source: docs/theory.md, eq. (101).
    """
    if _checked(kind, currents, _CURRENT) == "ir":
        return currents
    mean = currents[..., :3].mean(axis=-1, keepdims=True)
    rest = currents.copy()
    rest[..., :3] -= mean
    return _joined(kind, mean, rest * np.sqrt(_VOIGT_COUNT))


def irrep_parts(observable: str, tensors: Array) -> dict[str, Array]:
    """Tensors split into their irreducible parts, which add up to them.

    Args:
        observable: `ir` or `raman`.
        tensors: (n, 9) or (n, 27).

    Returns:
        By the names of e3nn; both vectors of a PGT are in one part.
    """
    if observable == "ir":
        apt = tensors.reshape(-1, 3, 3)
        turned = np.swapaxes(apt, 1, 2)
        trace = np.einsum("iaa->i", apt) / 3
        scalar = np.einsum("ab,i->iab", np.eye(3), trace)
        parts = {
            "0e": scalar,
            "1e": (apt - turned) / 2,
            "2e": (apt + turned) / 2 - scalar,
        }
    else:
        pgt = tensors.reshape(-1, 3, 3, 3)
        vectors = _vectors(pgt)
        whole = (pgt + pgt.transpose(0, 2, 3, 1) + pgt.transpose(0, 3, 1, 2)) / 3
        parts = {"1o": vectors, "3o": whole - _vectors(whole)}
        parts["2o"] = pgt - parts["1o"] - parts["3o"]
    return {name: part.reshape(tensors.shape) for name, part in parts.items()}


def _vectors(pgt: Array) -> Array:
    """The projection on δ_ab v_c and δ_ac w_b + δ_bc w_a, (n, 3, 3, 3)."""
    basis = np.zeros((6, 3, 3, 3))
    for k in range(3):
        basis[k, :, :, k] = np.eye(3)
        basis[3 + k, :, k, :] += np.eye(3)
        basis[3 + k, k, :, :] += np.eye(3)
    orthonormal, _ = np.linalg.qr(basis.reshape(6, 27).T)
    flat = pgt.reshape(-1, 27)
    projected: Array = (flat @ orthonormal @ orthonormal.T).reshape(pgt.shape)
    return projected


def _joined(kind: str, mean: Array, rest: Array) -> Array:
    """√a of the mean beside √(3b/2) of the anisotropy; what has no weight is left."""
    a, b = WEIGHTS[kind]
    scaled = [
        np.sqrt(weight) * part
        for weight, part in ((a, mean), (PLACZEK * b, rest))
        if weight > 0
    ]
    return np.concatenate(scaled, axis=-1)


def _checked(kind: str, array: Array, sizes: Mapping[str, int]) -> str:
    """The observable of a kind, with the right number of components."""
    for observable, kinds in KINDS.items():
        if kind in kinds:
            if array.shape[-1] != sizes[observable]:
                raise ShapeError(
                    f"{kind} needs {sizes[observable]} components, but there are "
                    f"{array.shape[-1]}."
                )
            return observable
    known = ", ".join(name for kinds in KINDS.values() for name in kinds)
    raise SettingsError(f"unknown spectrum '{kind}'; it must be one of {known}.")
