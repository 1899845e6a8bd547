"""Parts: correlations between groups of atoms, which add up to that of the whole."""

from __future__ import annotations

from dataclasses import dataclass

from mimyria.correlation import Correlation
from mimyria.groups import Grouping

__all__ = ["Parts"]


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
    """

    names: tuple[str, ...]
    dipole: Correlation | None
    isotropic: Correlation | None
    anisotropic: Correlation | None
    reliable_from: float = 0.0
    grouping: Grouping | None = None
