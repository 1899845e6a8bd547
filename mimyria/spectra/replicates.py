"""Replicates: spectra with errors, from blocks of the run or else from theory.

It knows functions from correlations to spectra; no physics. In this order an error is

    blocks      the jackknife, as soon as there are enough blocks
    theory      what the function itself says, by a formula for Gaussian noise
    bootstrap   the scatter over draws of such noise, where it says nothing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra.bootstrap import bootstrap_error, drawn_correlations
from mimyria.spectra.jackknife import (
    jackknife_error,
    usable_blocks,
    without_each_block,
)
from mimyria.spectra.spectrum import BLOCKS, BOOTSTRAP, THEORY, Spectrum
from mimyria.spectra.windows import LagWindow

__all__ = ["Compute", "Replicates", "Spectra", "replicates", "with_errors"]

Spectra = Mapping[str, Spectrum]
Compute = Callable[[Correlation], Spectra]


@dataclass(frozen=True, slots=True, eq=False)
class Replicates:
    """Spectra of a run, and what they might as well have been.

    Attributes:
        whole: of the run.
        others: without each of its blocks, or of each draw.
        samples: (K,) — samples in each block; None for draws.
    """

    whole: Spectra
    others: Sequence[Spectra]
    samples: NDArray[np.int64] | None

    @property
    def kind(self) -> str:
        """`BLOCKS` or `BOOTSTRAP`."""
        return BOOTSTRAP if self.samples is None else BLOCKS

    @property
    def error_dof(self) -> int:
        """Degrees of freedom of an error: blocks − 1, or draws − 1."""
        return len(self.others) - 1

    def error_of(self, estimate: Callable[[Spectra], ArrayLike]) -> Array:
        """Standard error of any function of the spectra, such as a band position."""
        value = estimate(self.whole)
        values = [estimate(spectra) for spectra in self.others]
        if self.samples is None:
            return bootstrap_error(value, values)
        return jackknife_error(value, values, self.samples)


def replicates(
    compute: Compute, correlation: Correlation, window: LagWindow
) -> Replicates:
    """Spectra without each block or, while blocks are too few, of draws from theory.

    Args:
        compute: makes the spectra.
        correlation: with or without blocks; without, of single channels.
        window: that `compute` uses.
    """
    blocks = usable_blocks(correlation, window.reach)
    parts = (
        drawn_correlations(correlation, window)
        if blocks is None
        else without_each_block(correlation, blocks)
    )
    others = [compute(part) for part in parts]
    samples = None if blocks is None else blocks.samples
    return Replicates(compute(correlation), others, samples)


def with_errors(
    compute: Compute, correlation: Correlation, window: LagWindow
) -> dict[str, Spectrum]:
    """Spectra with errors, their kind and their degrees of freedom.

    Args:
        compute: makes the spectra; their errors, where given, are those of theory.
        correlation: with or without blocks.
        window: that `compute` uses.

    Source: docs/theory.md, eqs. (31), (33), (86).
    """
    if usable_blocks(correlation, window.reach) is not None:
        found = replicates(compute, correlation, window)
        return {name: _replaced(found, name) for name in found.whole}
    whole = compute(correlation)
    if any(spectrum.error is None for spectrum in whole.values()):
        found = replicates(_without_formula(compute), correlation, window)
    return {
        name: replace(spectrum, dof=_dof(spectrum), error_kind=THEORY)
        if spectrum.error is not None
        else _drawn(found, name, correlation)
        for name, spectrum in whole.items()
    }


def _without_formula(compute: Compute) -> Compute:
    return lambda part: {n: s for n, s in compute(part).items() if s.error is None}


def _drawn(found: Replicates, name: str, correlation: Correlation) -> Spectrum:
    spectrum = _replaced(found, name)
    if correlation.counts[0]:
        return spectrum
    return replace(spectrum, error=np.full(len(spectrum.wavenumbers), np.inf))


def _replaced(found: Replicates, name: str) -> Spectrum:
    """A spectrum with the error of its replicates."""
    spectrum = found.whole[name]
    return replace(
        spectrum,
        error=found.error_of(lambda spectra: spectra[name].intensity),
        dof=_dof(spectrum),
        error_dof=found.error_dof,
        error_kind=found.kind,
    )


def _dof(spectrum: Spectrum) -> float | None:
    """ν_d = 2 S²/var S from the error of theory, median over the points; eq. (33)."""
    if spectrum.error is None:
        return None
    known = np.isfinite(spectrum.error) & (spectrum.error > 0)
    known &= np.isfinite(spectrum.intensity) & (spectrum.intensity != 0)
    if not known.any():
        return None
    relative = spectrum.error[known] / spectrum.intensity[known]
    median = float(np.median(relative**2))
    return 2.0 / median if median > 0 else None
