"""Tensors: the response tensors of one frame, in one index order and one unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimyria.errors import ShapeError
from mimyria.frame import Array

__all__ = ["Tensors"]


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """APT and PGT of all atoms of one frame.

    Attributes:
        apt: (n_atoms, 3, 3) e — apt[i, a, b] = ∂M_a/∂r_ib, or None.
        pgt: (n_atoms, 3, 3, 3) e² a0² Eh⁻¹ Å⁻¹ — pgt[i, a, b, c] = ∂α_ab/∂r_ic,
            symmetric in a and b, or None.
    """

    apt: Array | None = None
    pgt: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes once."""
        for name, array, rank in (("apt", self.apt, 2), ("pgt", self.pgt, 3)):
            if array is None:
                continue
            if array.ndim != rank + 1 or array.shape[1:] != (3,) * rank:
                raise ShapeError(
                    f"{name} must have the shape {('n_atoms',) + (3,) * rank}, "
                    f"but has {array.shape}."
                )
        if (
            self.apt is not None
            and self.pgt is not None
            and len(self.apt) != len(self.pgt)
        ):
            raise ShapeError(
                f"apt and pgt must describe the same atoms, but apt has "
                f"{len(self.apt)} and pgt {len(self.pgt)}."
            )

    def rotated(self, rotation: Array) -> Tensors:
        """The tensors of the frame after r → R r (proper or improper).

        Args:
            rotation: (3, 3) — orthogonal matrix R.
        """
        apt = pgt = None
        if self.apt is not None:
            apt = np.einsum("ax,by,ixy->iab", rotation, rotation, self.apt)
        if self.pgt is not None:
            pgt = np.einsum(
                "ax,by,cz,ixyz->iabc", rotation, rotation, rotation, self.pgt
            )
        return Tensors(apt, pgt)

    def sum_rule_residual(self, total_charge: float = 0.0) -> Tensors:
        """What the acoustic sum rules leave over, as tensors of one fictitious atom.

        Σ_i P_i[a, b] − Q δ_ab and Σ_i Q_i[a, b, c], both zero for exact tensors.

        Args:
            total_charge: charge Q of the cell, e.

        Source: translation of the whole system, docs/theory.md, eq. (9).
        """
        apt = pgt = None
        if self.apt is not None:
            apt = self.apt.sum(axis=0, keepdims=True) - total_charge * np.eye(3)
        if self.pgt is not None:
            pgt = self.pgt.sum(axis=0, keepdims=True)
        return Tensors(apt, pgt)
