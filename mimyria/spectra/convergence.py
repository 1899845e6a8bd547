"""Convergence: how well a spectrum is known, and how long it still takes.

Pure numbers from spectra; it ends no run and knows no clock. `StopRule` is the memory
between two looks at a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mimyria.errors import SettingsError
from mimyria.spectra.spectrum import BLOCKS, Spectrum
from mimyria.spectra.windows import LagWindow

__all__ = [
    "BandError",
    "StopRule",
    "band_errors",
    "drift_between_halves",
    "integrated_error",
    "samples_beforehand",
    "samples_needed",
]

WINDOWS_PER_RUN: Final = 50
"""A run shorter than so many windows is not called converged."""

_GROWTH: Final = 1.2
_LOOKS: Final = 2
_DRIFT: Final = math.sqrt(2 / math.pi)
_MOST_DRIFT: Final = 1.5

Band = tuple[float, float]


@dataclass(frozen=True, slots=True)
class BandError:
    """How well one spectrum is known in one range.

    Attributes:
        name: of the spectrum, such as `ir`.
        low: lower end, cm⁻¹.
        high: upper end, cm⁻¹.
        error: Δ = Σ se / Σ S, relative.
        target: the error that is wanted, or None.
        n_samples: samples in the spectrum.
        from_blocks: whether the error is that of blocks, not of theory.
        drift: difference of the two halves of the run, d; None if not looked at.
        n_points: widths of the resolution in the range, m: its independent points.
    """

    name: str
    low: float
    high: float
    error: float
    target: float | None
    n_samples: int
    from_blocks: bool
    drift: float | None = None
    n_points: float = math.inf

    @property
    def needed(self) -> float | None:
        """Samples in all until the target is reached; None without a target."""
        if self.target is None:
            return None
        return samples_needed(self.n_samples, self.error, self.target)

    @property
    def expected_drift(self) -> float:
        """What the drift is in the mean if there is none, 0.80 Δ."""
        return _DRIFT * self.error

    @property
    def most_drift(self) -> float:
        """The largest drift that chance may explain; more where points are few."""
        return _MOST_DRIFT * (1 + 1 / math.sqrt(self.n_points)) * self.expected_drift

    def doubt(self) -> str | None:
        """Why the target is not reached, in a few words; None if it is."""
        where = f"{self.name} {self.low:.0f}–{self.high:.0f} cm⁻¹"
        if not self.from_blocks:
            return f"{where}: too few blocks for an error"
        if self.target is not None and not self.error <= self.target:
            return f"{where}: error {self.error:.1%}, wanted {self.target:.1%}"
        if self.drift is not None and not self.drift <= self.most_drift:
            return (
                f"{where}: halves differ by {self.drift:.1%}, at most "
                f"{self.most_drift:.1%}"
            )
        return None


def integrated_error(spectrum: Spectrum, low: float, high: float) -> float:
    """Δ = Σ se / Σ |S| from `low` to `high` cm⁻¹; infinite where it is unknown.

    Source: docs/theory.md, eq. (34).
    """
    part = spectrum.between(low, high)
    total = float(np.nansum(np.abs(part.intensity)))
    if part.error is None or not total > 0:
        return math.inf
    return float(np.nansum(part.error)) / total


def samples_needed(n_samples: int, error: float, target: float) -> float:
    """N (Δ/δ)²: samples in all for a relative error δ.

    Source: docs/theory.md, eq. (35).
    """
    return n_samples * (error / target) ** 2


def samples_beforehand(window: LagWindow, n_components: int, target: float) -> float:
    """W/(n_c δ²): the same before there is any sample.

    Args:
        window: weights of the lags.
        n_components: independent components (IR 3, isotropic 1, anisotropic 5).
        target: relative error δ.

    Source: docs/theory.md, eq. (36).
    """
    power = 2.0 * float(np.sum(window.weights**2)) - 1.0
    return power / (n_components * target**2)


def drift_between_halves(
    first: Spectrum, second: Spectrum, low: float, high: float
) -> float:
    """Difference Σ |S_1 − S_2| / Σ |S_1 + S_2| from `low` to `high` cm⁻¹.

    Source: docs/theory.md, eq. (37).
    """
    one = first.between(low, high).intensity
    two = second.between(low, high).intensity
    total = float(np.nansum(np.abs(one + two)))
    return float(np.nansum(np.abs(one - two))) / total if total > 0 else math.inf


def band_errors(
    spectra: Mapping[str, Spectrum],
    n_samples: int,
    targets: Mapping[str, float | None],
    bands: Sequence[Band] = (),
    halves: tuple[Mapping[str, Spectrum], Mapping[str, Spectrum]] | None = None,
) -> list[BandError]:
    """The error of each spectrum that is asked for, in each band.

    Args:
        spectra: by name.
        n_samples: samples in them.
        targets: names of the spectra to look at, with the wanted relative error.
        bands: ranges in cm⁻¹; none means the whole spectrum.
        halves: the spectra of both halves of the run, to look for a drift.
    """
    found = []
    for name, target in targets.items():
        if name not in spectra:
            continue
        spectrum = spectra[name]
        grid = spectrum.wavenumbers
        for low, high in bands or [(float(grid[0]), float(grid[-1]))]:
            drift = None
            if halves is not None:
                first, second = (half[name] for half in halves)
                drift = drift_between_halves(first, second, low, high)
            found.append(
                BandError(
                    name,
                    low,
                    high,
                    integrated_error(spectrum, low, high),
                    target,
                    n_samples,
                    spectrum.error_kind == BLOCKS,
                    drift,
                    max(1.0, (high - low) / spectrum.resolution),
                )
            )
    return found


class StopRule:
    """When a run has reached its targets: at two looks in a row.

    Looks are at 50 L 1.2^k samples, k = 0, 1, …: they depend on the samples only, not
    on the time of day. A rule that is made later begins at the next of them.

    Attributes:
        next_look: samples at which to look.
        doubt: why the last look did not pass; None if it did, or there was none.

    Source: docs/theory.md, eq. (38).
    """

    def __init__(self, n_lags: int, n_samples: int = 0) -> None:
        """Begin.

        Args:
            n_lags: lags L of the window.
            n_samples: samples that are there already.
        """
        if n_lags < 1:
            raise SettingsError(f"n_lags must be at least 1, but is {n_lags}.")
        self._base = WINDOWS_PER_RUN * n_lags
        self._passed = 0
        self._step = 0
        self.doubt: str | None = None
        self._advance(n_samples)

    def due(self, n_samples: int) -> bool:
        """Whether it is time for a look."""
        return n_samples >= self.next_look

    def judge(
        self, n_samples: int, errors: Sequence[BandError], wrong: Sequence[str] = ()
    ) -> bool:
        """Take in what a look has found; True ends the run.

        Args:
            n_samples: samples so far.
            errors: of all bands that have a target, with their drifts.
            wrong: names of diagnostics that are wrong.
        """
        doubts = [text for error in errors if (text := error.doubt()) is not None]
        if wrong:
            doubts.append(f"diagnostics are wrong: {', '.join(wrong)}")
        if not errors:
            doubts.append("there is no spectrum with a target")
        self.doubt = "; ".join(doubts) or None
        self._passed = 0 if doubts else self._passed + 1
        self._advance(n_samples + 1)
        return self._passed >= _LOOKS

    def _advance(self, n_samples: int) -> None:
        while self._look(self._step) < n_samples:
            self._step += 1
        self.next_look = self._look(self._step)

    def _look(self, step: int) -> int:
        return math.ceil(self._base * _GROWTH**step)
