"""Spectrum: an intensity on a grid of wavenumbers. It knows not how it was made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array

__all__ = ["BLOCKS", "BOOTSTRAP", "THEORY", "Spectrum"]

BLOCKS: Final = "blocks"
THEORY: Final = "theory"
BOOTSTRAP: Final = "bootstrap"
"""Kinds of errors: scatter of the blocks of the run; closed formula for Gaussian noise;
scatter of outputs of such noise, where there is no formula."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """One spectrum with its statistical error.

    Attributes:
        wavenumbers: (n,) cm⁻¹ — rising.
        intensity: (n,), in `unit` — NaN where it has no meaning (masked ratios).
        unit: unit of `intensity` and `error`.
        name: key in result files, such as `raman_vv`.
        error: (n,), in `unit` — one standard error, or None where unknown.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        dof: degrees of freedom ν_d of the intensity of one point, distributed as
            S χ²(ν_d)/ν_d, or None where unknown; median over the points.
        error_dof: degrees of freedom of `error` itself: blocks − 1, draws of the
            bootstrap − 1; None for the formulas of theory, or where it is unknown.
        error_kind: `BLOCKS`, `THEORY` or `BOOTSTRAP`; None where it is unknown.
    """

    wavenumbers: Array
    intensity: Array
    unit: str
    name: str
    error: Array | None
    resolution: float
    dof: float | None = None
    error_dof: int | None = None
    error_kind: str | None = None

    def __post_init__(self) -> None:
        """Check shapes once."""
        expected = (len(self.wavenumbers),)
        arrays = {"wavenumbers": self.wavenumbers, "intensity": self.intensity}
        if self.error is not None:
            arrays["error"] = self.error
        for name, array in arrays.items():
            if array.shape != expected:
                raise ShapeError(
                    f"{name} of {self.name} must have the shape {expected}, but has "
                    f"{array.shape}."
                )

    @property
    def spacing(self) -> float:
        """Distance of two grid points, cm⁻¹."""
        return float(self.wavenumbers[1] - self.wavenumbers[0])

    @property
    def error_source(self) -> str:
        """Where the error comes from, in a few words."""
        number = (self.error_dof or 0) + 1
        sources = {
            BLOCKS: f"{number} blocks",
            THEORY: "theory; too few blocks yet",
            BOOTSTRAP: f"theory, {number} draws; too few blocks yet",
        }
        return sources.get(self.error_kind or "", "source unknown")

    def between(self, low: float, high: float) -> Spectrum:
        """The part from `low` to `high` cm⁻¹, both included.

        Raises:
            SettingsError: fewer than two points are left.
        """
        chosen = (self.wavenumbers >= low) & (self.wavenumbers <= high)
        if chosen.sum() < 2:
            raise SettingsError(
                f"{self.name} has no two points from {low:g} to {high:g} cm⁻¹; it "
                f"reaches from {self.wavenumbers[0]:g} to {self.wavenumbers[-1]:g}."
            )
        return replace(
            self,
            wavenumbers=self.wavenumbers[chosen],
            intensity=self.intensity[chosen],
            error=None if self.error is None else self.error[chosen],
        )
