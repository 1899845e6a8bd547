"""Settings of clusters: the section `[clusters]` of a plan of calculations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mimyria.errors import SettingsError
from mimyria.molecules import BOND_FACTOR, hill_formula
from mimyria.settings.fields import require, setting

__all__ = ["ClusterSettings"]

_CHARGE: Final = re.compile(r"\s*(\w+)\s*:\s*([+-]?\d+)\s*")


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which molecules clusters are cut around, and how large they are."""

    radius: float = setting(
        5.0,
        "Molecules with any atom closer than this (Å) to any of the central one are "
        "taken whole; 0 is the molecule alone.",
    )
    per_frame: int = setting(
        1, "Clusters of each frame for each formula; fewer where there are fewer."
    )
    molecules: tuple[str, ...] = setting(
        (),
        'Formulas of the central molecules, as ["H2O", "SO4"]; every formula of the '
        "frame if empty.",
    )
    charges: tuple[str, ...] = setting(
        (),
        'Charges of molecules that are not neutral, in e, as ["SO4: -2", "Na: 1"].',
    )
    bond_factor: float = setting(
        BOND_FACTOR, "Longest bond in units of the sum of covalent radii."
    )
    seed: int = setting(1, "Seed of the choice of central molecules.")

    def __post_init__(self) -> None:
        """Check limits and formulas."""
        require(self.radius >= 0, "clusters.radius", "0 or more", self.radius)
        require(self.per_frame > 0, "clusters.per_frame", "above zero", self.per_frame)
        require(
            self.bond_factor > 0, "clusters.bond_factor", "above zero", self.bond_factor
        )
        require(self.seed >= 0, "clusters.seed", "0 or more", self.seed)
        if len(set(self.formulas)) < len(self.formulas):
            raise SettingsError(
                f"clusters.molecules must name each formula once, but is "
                f"{list(self.molecules)}."
            )
        _ = self.charge_of

    @property
    def formulas(self) -> tuple[str, ...]:
        """Formulas of the central molecules in Hill's order."""
        return tuple(hill_formula(formula) for formula in self.molecules)

    @property
    def charge_of(self) -> dict[str, int]:
        """Charge in e by formula in Hill's order; molecules not named are neutral."""
        found: dict[str, int] = {}
        for line in self.charges:
            match = _CHARGE.fullmatch(line)
            if match is None:
                raise SettingsError(
                    f"clusters.charges must hold lines 'FORMULA: CHARGE' with a whole "
                    f"number, but '{line}' is none. Write for example 'SO4: -2'."
                )
            formula = hill_formula(match[1])
            if formula in found:
                raise SettingsError(
                    f"clusters.charges must name {match[1]} once, but does so again."
                )
            found[formula] = int(match[2])
        return found
