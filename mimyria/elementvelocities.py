"""Element velocities: how the atoms of each element move, as correlations of a run."""

from __future__ import annotations

from dataclasses import dataclass

from mimyria.correlation import Correlation

__all__ = ["ElementVelocities"]


@dataclass(frozen=True, slots=True, eq=False)
class ElementVelocities:
    """Σ_i m_i <v_i(0)·v_i(t)> over the atoms of each element.

    Attributes:
        names: of the elements, in the order of the channels.
        n_atoms: atoms of each.
        n_probes: random-sign probes that it comes from.
        correlation: autocorrelation of each channel, amu Å² fs⁻².
    """

    names: tuple[str, ...]
    n_atoms: tuple[int, ...]
    n_probes: int
    correlation: Correlation

    @property
    def n_components(self) -> tuple[int, ...]:
        """Independent components of each element: of its probes, or all its modes."""
        return tuple(3 * min(self.n_probes, n_atoms) for n_atoms in self.n_atoms)
