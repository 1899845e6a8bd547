"""Recomputed spectra: those of a stored run at a coarser resolution, and their scatter.

A result holds correlations, so its spectra can be had again with a wider window, and
without each block of the run in turn. It does that only where it meets the stored
spectrum: one that other options made (a quantity, a correction) is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.partspectra import PART_KINDS, part_spectra
from mimyria.spectra import WINDOWS, Spectrum, compute_spectra
from mimyria.spectra.integrator import correct_axis, observed_wavenumber
from mimyria.spectra.jackknife import usable_blocks
from mimyria.spectra.replicates import Spectra, replicates
from mimyria.spectra.windows import window_for_resolution
from mimyria.storage import Result

__all__ = ["Sampled", "StoredRun", "parts_of"]

_SAME: Final = 1e-6
_TIME_STEP: Final = "spectrum_correct_integrator"


def parts_of(
    result: Result, spectrum: Spectrum, *, assigned: bool = False
) -> dict[str, Spectrum]:
    """What groups of atoms contribute to a spectrum of a result, on its wavenumbers.

    Args:
        result: with `parts`, or nothing is known.
        spectrum: one of the result, at the resolution that is wanted.
        assigned: each pair of groups shared among the two.

    Returns:
        Spectra by label; empty where the result knows no parts of this spectrum.
    """
    if result.parts is None or spectrum.name not in PART_KINDS:
        return {}
    return part_spectra(
        result.parts,
        spectrum.name,
        volume=result.volume,
        temperature=result.temperature,
        resolution=spectrum.resolution,
        window=str(result.provenance.get("window", "gaussian")),
        max_wavenumber=float(spectrum.wavenumbers[-1]),
        assigned=assigned,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """A spectrum, and what it would be without each block of its run.

    Attributes:
        spectrum: of the whole run.
        without: K times the same, without one block; empty where there are no blocks.
        samples: (K,) — samples in each block.
    """

    spectrum: Spectrum
    without: tuple[Spectrum, ...] = ()
    samples: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


class StoredRun:
    """The spectra of a result file, and of its correlations.

    Attributes:
        spectra: as stored, by name.
        window: name of their lag window.
    """

    def __init__(self, result: Result) -> None:
        """Begin with nothing computed."""
        self._result = result
        self._found: dict[tuple[str, float], dict[str, Sampled]] = {}
        self.spectra: Spectra = result.spectra
        self.window = str(result.provenance.get("window", "gaussian"))

    def sampled(self, name: str) -> Sampled:
        """A stored spectrum with its replicates, if its correlations give them."""
        stored = self.spectra[name]
        if not self.can_recompute(name):
            return Sampled(stored)
        found = self._computed(name, stored.resolution)[name]
        return Sampled(stored, found.without, found.samples)

    def at_resolution(self, name: str, resolution: float) -> Sampled:
        """The spectrum with another window; `can_recompute` must be true.

        Args:
            name: of the spectrum.
            resolution: cm⁻¹, coarser than stored.
        """
        return self._computed(name, resolution)[name]

    def can_recompute(self, name: str) -> bool:
        """Whether the correlations give the very spectrum that is stored."""
        stored = self.spectra[name]
        if self._correlation(name) is None or not stored.resolution > 0:
            return False
        if self.window not in WINDOWS:
            return False
        found = self._computed(name, stored.resolution).get(name)
        if found is None or len(found.spectrum.wavenumbers) != len(stored.wavenumbers):
            return False
        return _close(found.spectrum.wavenumbers, stored.wavenumbers) and _close(
            found.spectrum.intensity, stored.intensity
        )

    def _correlation(self, name: str) -> Correlation | None:
        """What the spectrum is made of."""
        return self._result.dipole if name == "ir" else self._result.polarizability

    def _computed(self, name: str, resolution: float) -> dict[str, Sampled]:
        """All spectra of the correlation that this one comes from."""
        kind = "ir" if name == "ir" else "raman"
        if (kind, resolution) not in self._found:
            self._found[kind, resolution] = self._compute(name, resolution)
        return self._found[kind, resolution]

    def _compute(self, name: str, resolution: float) -> dict[str, Sampled]:
        correlation = self._correlation(name)
        assert correlation is not None
        compute = self._maker(name, resolution)
        window = window_for_resolution(
            self.window, resolution, correlation.n_lags, correlation.interval
        )
        whole = compute(correlation)
        if usable_blocks(correlation, window.reach) is None:
            return {key: Sampled(spectrum) for key, spectrum in whole.items()}
        found = replicates(compute, correlation, window)
        assert found.samples is not None
        return {
            key: Sampled(
                spectrum,
                tuple(spectra[key] for spectra in found.others),
                found.samples,
            )
            for key, spectrum in whole.items()
        }

    def _maker(
        self, name: str, resolution: float
    ) -> Callable[[Correlation], dict[str, Spectrum]]:
        """What makes spectra of a correlation as the stored ones were made."""
        run = self._result
        time_step = run.provenance.get(_TIME_STEP)
        end = float(self.spectra[name].wavenumbers[-1])
        if time_step is not None:
            end = float(observed_wavenumber(end, float(time_step)))

        def compute(correlation: Correlation) -> dict[str, Spectrum]:
            pair = (correlation, None) if name == "ir" else (None, correlation)
            spectra = compute_spectra(
                *pair,
                volume=run.volume,
                temperature=run.temperature,
                resolution=resolution,
                window=self.window,
                max_wavenumber=end * (1 + 1e-12),
            )
            if time_step is None:
                return spectra
            step = float(time_step)
            return {key: correct_axis(s, step) for key, s in spectra.items()}

        return compute


def _close(ours: Array, theirs: Array) -> bool:
    """Whether two curves are the same to a millionth; both may be masked."""
    known = np.isfinite(theirs)
    if not np.array_equal(known, np.isfinite(ours)):
        return False
    scale = np.abs(theirs[known]).max(initial=0.0)
    return bool(np.allclose(ours[known], theirs[known], rtol=0.0, atol=_SAME * scale))
