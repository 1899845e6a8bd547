"""Parts: correlations between groups of atoms, which add up to that of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mimyria.correlation import Correlation
from mimyria.groups import Grouping

__all__ = ["SELF_NAMES", "Parts"]

SELF_NAMES: Final = ("intramolecular", "intermolecular")
"""Names of the self and the distinct term of molecules."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Correlations C_gh between the currents of groups g and h, g ≤ h.

    The sum over g and h, each g ≠ h counted twice, is the correlation of the whole.

    Attributes:
        names: of the groups; a pair (g, h) of a correlation counts in this order.
        dipole: Σ_a over x, y, z of the dipole velocities, or None.
        isotropic: of the mean polarizability velocities, or None.
        anisotropic: Σ_ab of the traceless polarizability velocities, or None.
        reliable_from: cm⁻¹; below it spectra of single parts show how atoms change the
            group, and not how they move. 0 where groups do not change.
        grouping: what the groups are, atom by atom; None where it is not known.
        n_self: where the parts are the self and the distinct term: equivalent processes
            whose mean the self term is, the probes or the molecules if these are fewer.
            0 where the parts are groups.
        shares: where groups are too many for blocks of all pairs: each group with
            itself (g, g) and with the whole (g, G), the last name, in blocks.
    """

    names: tuple[str, ...]
    dipole: Correlation | None
    isotropic: Correlation | None
    anisotropic: Correlation | None
    reliable_from: float = 0.0
    grouping: Grouping | None = None
    n_self: int = 0
    shares: Parts | None = None
