"""What residuals of reference tensors say in words, and the bounds behind the words.

The bounds tell failed calculations from sound ones. Liquid water in a small cell with a
coarse grid stays below each of them by a factor of two to twenty, a molecule without
periodic images by far more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mimyria.reference.quality import FieldQuality

__all__ = ["BOUNDS", "Verdict", "judge"]

BOUNDS: Final = {
    # Labels with such errors would be the largest error of any trained model: the
    # spectrum goes with the square of the tensors.
    "apt_error": 0.01,  # of the rms element
    "pgt_error": 0.05,  # of the rms element
    # Ten times what DFT on a coarse grid leaves (0.1 % for 16 water molecules).
    "apt_sum": 0.01,  # per atom, of the rms element
    "pgt_sum": 0.01,  # per atom, of the rms element
    # Half a charge: no grid does this, a forgotten ion does.
    "charge": 0.5,  # e
    # 0.05 eV/Å on every atom in one direction: the grid is too coarse for forces.
    "net_force": 1e-3,  # Eh/a0 per atom
    # Water at 2e-3 a.u. has 0.01. Where the quadratic is a fifth of the linear
    # response, cubic and quartic terms are no longer small, or the electrons broke out.
    "curvature": 0.2,
    # One pair explains a residual when without it half of it is gone. Noise of three
    # atoms hardly gets beyond 1.4, that of more atoms stays at 1.
    "culprit": 2.0,
    # The indices of α commute exactly.
    "asymmetry": 1e-9,  # of the rms element
}
"""Bounds of `judge`, each with its reason beside it in the source."""

_LAST_DIGIT: Final = 1e-12  # Eh/a0; what lies below is rounding, not a calculation
_NORMALISATION: Final = {
    "shorter": "diagonal fields acted 1/√2 weaker than their vectors say: the program "
    "normalised them; correct the vectors, the forces are good",
    "longer": "diagonal fields acted √2 stronger than their vectors say; correct the "
    "vectors, the forces are good",
    "wrong": "forces in diagonal fields do not follow from those along the axes; a "
    "calculation did not converge, or belongs to another field",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word and the sentences behind it.

    Attributes:
        level: `sound`, `unchecked` (no spare points: nothing could be checked),
            `suspicious`, or `wrong` (the tensors must not be used as they are).
        findings: what is wrong or suspicious, with value and bound.
    """

    level: str
    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line."""
        return ": ".join([self.level, "; ".join(self.findings)]).removesuffix(": ")


def judge(quality: FieldQuality) -> Verdict:
    """Hold the residuals of one frame against `BOUNDS`."""
    failed = _NORMALISATION.get(quality.normalisation)
    findings = [
        *([f"{failed} (ratios {_numbers(quality.ratios)})"] if failed else []),
        *_of_pairs(quality),
        *_of_errors(quality),
        *_of_sums(quality),
        *_of_shape(quality),
    ]
    if failed:
        return Verdict("wrong", tuple(findings))
    if findings:
        return Verdict("suspicious", tuple(findings))
    return Verdict("unchecked" if math.isnan(quality.residual) else "sound")


def _of_pairs(quality: FieldQuality) -> Iterator[str]:
    for kind in ("odd", "even"):
        rms: float = getattr(quality, f"{kind}_residual")
        n_free: int = getattr(quality, f"{kind}_free")
        if n_free < 2 or not rms > 0:
            continue  # without one pair nothing would be left to compare
        left: tuple[float, ...] = getattr(quality, f"{kind}_left")
        named = list(zip(left, quality.pairs, strict=True))
        size, name = max(named, key=lambda pair: (pair[0] == pair[0], pair[0]))
        others = math.sqrt(max(n_free * rms**2 - size**2, 0.0) / (n_free - 1))
        if others * BOUNDS["culprit"] < rms and size > _LAST_DIGIT:
            yield (
                f"the fields ±({name}) do not fit to the others: they leave "
                f"{size:.1e} Eh/a0 in the {kind} part, the rest {others:.1e}; compute "
                "these two again"
            )


def _of_errors(quality: FieldQuality) -> Iterator[str]:
    for name, unit in (("apt", "e"), ("pgt", "e² a0² Eh⁻¹ Å⁻¹")):
        error: float = getattr(quality, f"{name}_error")
        size: float = getattr(quality, f"{name}_rms")
        bound = BOUNDS[f"{name}_error"]
        if error > bound * size:
            yield (
                f"the {name.upper()} is uncertain by {error:.2g} {unit}, more than "
                f"{bound:.0%} of its rms element {size:.2g}; converge the forces "
                "tighter or take a stronger field"
            )


def _of_sums(quality: FieldQuality) -> Iterator[str]:
    if abs(quality.charge_error) > BOUNDS["charge"]:
        yield (
            f"Σ P − Q has the mean diagonal {quality.charge_error:+.2f} e; is the "
            f"total charge really {quality.total_charge:g} e?"
        )
    for name in ("apt", "pgt"):
        rest: float = getattr(quality, f"{name}_sum_per_atom")
        size: float = getattr(quality, f"{name}_rms")
        bound = BOUNDS[f"{name}_sum"]
        if rest > bound * size:
            yield (
                f"the sum rule of the {name.upper()} is missed by {rest:.2g} per atom, "
                f"more than {bound:.0%} of the rms element {size:.2g}; a finer grid or "
                "tighter convergence is needed"
            )
    per_atom = quality.net_force / quality.n_atoms
    if per_atom > BOUNDS["net_force"]:
        yield (
            f"the forces at zero field do not add up to zero: {per_atom:.1e} Eh/a0 per "
            f"atom, more than {BOUNDS['net_force']:.0e}; a finer grid is needed"
        )


def _of_shape(quality: FieldQuality) -> Iterator[str]:
    if quality.curvature > BOUNDS["curvature"]:
        yield (
            f"the quadratic response is {quality.curvature:.0%} of the linear one, "
            f"more than {BOUNDS['curvature']:.0%}; the field is too strong, or one "
            "state differs from the others"
        )
    if quality.pgt_asymmetry > BOUNDS["asymmetry"] * quality.pgt_rms:
        yield (
            f"the PGT is not symmetric in its first two indices, by "
            f"{quality.pgt_asymmetry:.1e}; its indices are in another order"
        )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
