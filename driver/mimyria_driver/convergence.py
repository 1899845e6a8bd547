"""Progress: how well the spectra of a run are known, and whether that is enough.

It gets results and says numbers; it ends nothing, and knows no clock, socket or file.
Looks that can end a run come at fixed numbers of frames, so a run and its replay end at
the same frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from mimyria.correlation import Correlation
from mimyria.spectra import Spectrum, compute_spectra, lags_for_resolution
from mimyria.spectra.convergence import BandError, StopRule, band_errors
from mimyria.spectra.jackknife import halves
from mimyria.storage import Result
from mimyria_driver.settings import ConvergenceSettings, SpectrumSettings

__all__ = ["Progress"]

_DECISIVE: Final = ("f-sum", "temperature")
"""Diagnostics of the run; those of the model do not change by waiting."""

_LABELS: Final = {"ir": "ir", "raman_vv": "raman"}


class Progress:
    """Errors of the last result, and the rule that ends the run.

    Attributes:
        errors: of each spectrum with a target in each band, as last looked at.
        reason: why the run is converged; None while it is not.
    """

    def __init__(
        self,
        settings: ConvergenceSettings,
        spectrum: SpectrumSettings,
        interval: float,
        n_frames: int,
    ) -> None:
        """Begin.

        Args:
            settings: targets and bands.
            spectrum: window and resolution.
            interval: time between frames, fs.
            n_frames: frames that are there already.
        """
        self._settings = settings
        self._spectrum = spectrum
        n_lags = lags_for_resolution(spectrum.window, spectrum.resolution, interval) - 1
        self._rule = StopRule(
            max(1, n_lags), n_frames + 1
        )  # not where it may have looked
        self.errors: list[BandError] = []
        self.reason: str | None = None

    def due(self, n_frames: int) -> bool:
        """Whether a result should be made now, because the run might end with it."""
        return self._settings.stop and self._rule.due(n_frames)

    def update(self, result: Result) -> None:
        """Take in the errors of a result."""
        self.errors = self._errors(result, None)

    def look(self, result: Result) -> str | None:
        """Take in a result that was due; the reason to end the run, or None."""
        self.errors = self._errors(result, self._halves(result))
        wrong = [
            diagnostic.name
            for diagnostic in result.diagnostics
            if diagnostic.verdict == "wrong" and diagnostic.name.startswith(_DECISIVE)
        ]
        n_frames = _n_samples(result)
        if self._rule.judge(n_frames, self.errors, wrong):
            found = ", ".join(_describe(error) for error in self.errors)
            self.reason = f"converged after {n_frames} frames: {found}"
        return self.reason

    def relative_errors(self, n_frames: int) -> dict[str, float]:
        """The worst band of each spectrum, carried on to so many frames by 1/√N.

        Not of a spectrum whose error is not known.
        """
        worst: dict[str, float] = {}
        for error in self.errors:
            if n_frames and math.isfinite(error.error):
                now = error.error * math.sqrt(error.n_samples / n_frames)
                label = _LABELS[error.name]
                worst[label] = max(worst.get(label, 0.0), now)
        return worst

    def targets(self) -> dict[str, float]:
        """Wanted errors by the same names."""
        targets = self._settings.targets.items()
        return {_LABELS[name]: wanted for name, wanted in targets}

    def bands(self) -> list[dict[str, Any]]:
        """All that is known of each band, in plain values."""
        return [
            {
                name: value
                if not isinstance(value, float) or math.isfinite(value)
                else None
                for name, value in {**asdict(e), "needed": e.needed}.items()
            }
            for e in self.errors
        ]

    def provenance(self) -> dict[str, str | int | float]:
        """What a result file should say about it."""
        wanted = {f"target_{name}": value for name, value in self.targets().items()}
        doubt = self._rule.doubt or "not looked at twice"
        if not self._settings.stop:
            return {**wanted}
        return {"convergence": self.reason or f"not yet: {doubt}", **wanted}

    def _errors(
        self,
        result: Result,
        parts: tuple[Mapping[str, Spectrum], Mapping[str, Spectrum]] | None,
    ) -> list[BandError]:
        return band_errors(
            result.spectra,
            _n_samples(result),
            self._settings.targets,
            self._settings.ranges,
            parts,
        )

    def _halves(
        self, result: Result
    ) -> tuple[dict[str, Spectrum], dict[str, Spectrum]] | None:
        """The spectra of the first and the second half of the run."""
        dipole = _halves_of(result.dipole)
        polarizability = _halves_of(result.polarizability)
        if dipole is None or polarizability is None:
            return None
        first, second = (
            compute_spectra(
                one,
                other,
                volume=result.volume,
                temperature=result.temperature,
                resolution=self._spectrum.resolution,
                window=self._spectrum.window,
                max_wavenumber=self._spectrum.max_wavenumber,
            )
            for one, other in zip(dipole, polarizability, strict=True)
        )
        return first, second


def _describe(error: BandError) -> str:
    band = f"{error.low:.0f}–{error.high:.0f} cm⁻¹"
    return f"{_LABELS[error.name]} {band} ±{100 * error.error:.2g} %"


def _halves_of(
    correlation: Correlation | None,
) -> tuple[Correlation | None, Correlation | None] | None:
    return (None, None) if correlation is None else halves(correlation)


def _n_samples(result: Result) -> int:
    correlation = result.dipole or result.polarizability
    return 0 if correlation is None else correlation.n_samples
