"""Tensors: the response tensors of one frame, in one index order and one unit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mimyria.errors import ShapeError
from mimyria.frame import Array
from mimyria.targets import TARGETS, Target, columns_of

__all__ = ["Tensors", "joined"]


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

    @classmethod
    def from_columns(cls, columns: Array, targets: Sequence[Target]) -> Tensors:
        """Tensors from the components of all targets side by side.

        Args:
            columns: (n_atoms, n_components) — each tensor row-major.
            targets: in the order of the columns.
        """
        parts = {
            target.name: columns[:, part].reshape(-1, *target.shape)
            for target, part in zip(targets, columns_of(targets).values(), strict=True)
        }
        return cls(**parts)

    def columns(self, targets: Sequence[Target]) -> Array:
        """Inverse of `from_columns`: (n_atoms, n_components).

        Raises:
            ShapeError: one of the targets is not there.
        """
        missing = [t.name for t in targets if getattr(self, t.name) is None]
        if missing:
            raise ShapeError(f"there is no {' and no '.join(missing)}.")
        parts = [getattr(self, target.name) for target in targets]
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

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


def joined(parts: Iterable[Tensors]) -> Tensors:
    """Tensors of the same atoms from several models as one; the last one counts."""
    found: dict[str, Array] = {}
    for part in parts:
        for target in TARGETS:
            tensor = getattr(part, target)
            if tensor is not None:
                found[target] = tensor
    return Tensors(**found)
