"""Which field strength: noise and truncation of the tensors, measured at several steps.

A weak field leaves the noise of the forces, a strong one the next orders of the
response. Forces of the same stencil at several steps h tell both apart: the tensors
grow with h² by truncation, and what the fits leave over is noise. From the two the
error is known for every h, also between and beyond the steps that were computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from mimyria.frame import Array

__all__ = ["ErrorModel", "FieldScan"]

_FINE: Final = 200  # steps of the search for an optimum, per decade


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """Error of one kind of tensor element against the step.

    σ(h)² = (gain σ_F/hᵖ)² + (truncation h²)²

    Attributes:
        power: p, 1 for the APT and 2 for the PGT.
        gain: noise of an element for σ_F = 1 and h = 1; of this stencil.
        truncation: root mean square over the elements, unit of the tensor per a.u.²;
            zero if it does not stand out of the noise.
        hidden: truncation that the noise may have hidden; zero if it was resolved.
        size: root mean square of the elements themselves.
    """

    power: int
    gain: float
    truncation: float
    hidden: float
    size: float

    @property
    def resolved(self) -> bool:
        """Whether the truncation stands out of the noise."""
        return self.truncation > 0

    def noise(self, step: ArrayLike, force_noise: float) -> Array:
        """What the noise of the forces does to an element."""
        h = np.asarray(step, dtype=np.float64)
        return np.asarray(self.gain * force_noise / h**self.power)

    def error(self, step: ArrayLike, force_noise: float) -> Array:
        """Noise and truncation together.

        Args:
            step: h, a.u.
            force_noise: σ_F, Eh/a0.
        """
        h = np.asarray(step, dtype=np.float64)
        return np.hypot(self.noise(h, force_noise), self.truncation * h**2)

    def bound(self, step: ArrayLike, force_noise: float) -> Array:
        """Likewise, with all the truncation that the noise may have hidden."""
        h = np.asarray(step, dtype=np.float64)
        largest = max(self.truncation, self.hidden)
        return np.hypot(self.noise(h, force_noise), largest * h**2)

    def optimum(self, force_noise: float) -> float:
        """Step of the smallest error, h^(p + 2) = √(p/2) gain σ_F/truncation.

        Source: docs/theory.md, eq. (63).
        """
        if not self.resolved:
            return math.inf
        ratio = math.sqrt(self.power / 2.0) * self.gain * force_noise / self.truncation
        return float(ratio ** (1.0 / (self.power + 2)))


@dataclass(frozen=True, slots=True, eq=False)
class FieldScan:
    """What a scan has found.

    Attributes:
        steps: (n_steps,) a.u. — rising.
        force_noise: σ_F, Eh/a0; zero if the fits leave nothing over.
        residuals: (n_steps,) Eh/a0 — of the fits.
        third: root mean square of ∂³F/∂E_a³ over atoms and axes, a.u.; NaN if it
            cannot be told from noise.
        fourth: likewise of ∂⁴F/∂E_a⁴.
        apt: model of the errors of the APT, e.
        diagonal: of Q[a, a, ·], e² a0² Eh⁻¹ Å⁻¹; None for sets without PGT.
        off_diagonal: of Q[a, b, ·], likewise.
        limit: strongest field that the gap allows, a.u.; infinite if none was given.
    """

    steps: Array
    force_noise: float
    residuals: Array
    third: float
    fourth: float
    apt: ErrorModel
    diagonal: ErrorModel | None
    off_diagonal: ErrorModel | None
    limit: float

    def apt_error(self, step: ArrayLike) -> Array:
        """Root mean square error of the elements of the APT, e."""
        return self.apt.error(step, self.force_noise)

    def pgt_error(self, step: ArrayLike) -> Array:
        """Likewise of the PGT, three diagonal and six other elements; NaN without."""
        if self.diagonal is None or self.off_diagonal is None:
            return np.full(np.shape(step), math.nan)
        diagonal = self.diagonal.error(step, self.force_noise)
        other = self.off_diagonal.error(step, self.force_noise)
        return np.sqrt((diagonal**2 + 2.0 * other**2) / 3.0)

    def relative_error(self, step: ArrayLike) -> Array:
        """Of both together, each in its own root mean square element."""
        squares = (self.apt_error(step) / self.apt.size) ** 2
        if self.diagonal is not None and self.off_diagonal is not None:
            size = (self.diagonal.size**2 + 2.0 * self.off_diagonal.size**2) / 3.0
            squares = squares + self.pgt_error(step) ** 2 / size
        return np.sqrt(squares)

    @property
    def best_for_apt(self) -> float:
        """Step of the smallest error of the APT, a.u.

        No `best` is above the limit or the strongest field computed. It is the latter
        where no truncation stands out of the noise: there stronger fields pay.
        """
        return self._best(FieldScan.apt_error)

    @property
    def best_for_pgt(self) -> float:
        """Step of the smallest error of the PGT, a.u.; NaN for sets without it."""
        return math.nan if self.diagonal is None else self._best(FieldScan.pgt_error)

    @property
    def best(self) -> float:
        """Step of the smallest relative error of both, a.u."""
        return self._best(FieldScan.relative_error)

    def _best(self, error: Callable[[FieldScan, ArrayLike], Array]) -> float:
        high = min(float(self.steps[-1]), self.limit)
        low = min(float(self.steps[0]) / 10.0, high)
        n_points = 1 + math.ceil(_FINE * math.log10(high / low))
        grid = np.geomspace(low, high, n_points)
        return float(grid[np.argmin(error(self, grid))])
