"""Score errors: standard errors of the scores of two runs, by the jackknife.

Scores are nonlinear, so nothing simpler is right: every score is computed again without
each block of the first run, then without each block of the second. The runs are
independent, so their variances add up.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from mimyria.comparison import Comparison, ScoreErrors, compare
from mimyria.errors import IncompatibleError
from mimyria.frame import Array
from mimyria.recomputed import Sampled
from mimyria.spectra import Spectrum
from mimyria.spectra.jackknife import jackknife_error

__all__ = ["compare_sampled"]

_LEAST_BLOCKS: Final = 3
"""Without one of them two are left, which have a scatter."""


def compare_sampled(
    first: Sampled,
    second: Sampled,
    *,
    low: float | None = None,
    high: float | None = None,
    normalisation: str = "auto",
) -> Comparison:
    """All scores of two spectra, with errors where one has blocks at least.

    A spectrum without blocks counts as exact in the errors of the scores; how many
    blocks were there is in `Comparison.errors`. The same data twice have none.

    Args:
        first: one spectrum.
        second: the other.
        low: begin of the range, cm⁻¹.
        high: end of the range, cm⁻¹.
        normalisation: as `comparison.compare` takes it.

    Raises:
        IncompatibleError: as `comparison.compare`.
        SettingsError: as `comparison.compare`.

    Source: docs/theory.md, eq. (58).
    """
    whole = compare(
        first.spectrum, second.spectrum, low=low, high=high, normalisation=normalisation
    )
    if whole.same_data or not (first.without or second.without):
        return whole
    scores = _vector(whole)

    def again(one: Spectrum, two: Spectrum) -> Array:
        try:
            found = compare(
                one,
                two,
                low=whole.low,
                high=whole.high,
                normalisation=whole.normalisation,
            )
        except IncompatibleError:  # too much is masked without this block
            return np.full(len(scores), math.nan)
        return _vector(found)

    variances = np.zeros(len(scores))
    for mine, replicates in (
        (first, [again(s, second.spectrum) for s in _with_error(first)]),
        (second, [again(first.spectrum, s) for s in _with_error(second)]),
    ):
        if replicates:
            variances += jackknife_error(scores, replicates, mine.samples) ** 2
    errors = np.sqrt(variances).tolist()
    bray_curtis, cosine, centre, other, shift, wasserstein, chi_square = errors
    found = ScoreErrors(
        bray_curtis,
        cosine,
        (centre if first.without else 0.0, other if second.without else 0.0),
        wasserstein,
        chi_square,
        (len(first.without), len(second.without)),
    )
    notices = whole.notices
    for mine, name in ((first, "A"), (second, "B")):
        if not mine.without and mine.spectrum.error is not None:
            # The error of theory that `compare` gives holds its part.
            shift = whole.shift_error
            notices += (
                f"{name} has no blocks (or too few): the errors of the scores do not "
                "hold its own",
            )
    return replace(whole, errors=found, shift_error=shift, notices=notices)


def _vector(scores: Comparison) -> Array:
    return np.array(
        [
            scores.bray_curtis,
            scores.cosine,
            *scores.first_moments,
            scores.shift,
            scores.wasserstein,
            scores.chi_square,
        ]
    )


def _with_error(sampled: Sampled) -> list[Spectrum]:
    """The replicates, each with the error that the blocks left in it give.

    χ² divides by these errors, which scatter too. They are those of the jackknife for
    the other blocks, from the same pseudo-values; exact for spectra that are linear in
    the correlation.
    """
    if sampled.spectrum.error is None or len(sampled.without) < _LEAST_BLOCKS:
        return list(sampled.without)
    weights = sampled.samples.astype(np.float64)
    ratio = (weights.sum() / weights)[:, np.newaxis]
    values = np.stack([each.intensity for each in sampled.without])
    pseudo = ratio * sampled.spectrum.intensity - (ratio - 1.0) * values
    found = []
    for number, each in enumerate(sampled.without):
        rest = np.delete(pseudo, number, axis=0)
        share = np.delete(weights, number)[:, np.newaxis]
        share /= share.sum()
        squares = (rest - (share * rest).sum(axis=0)) ** 2 / (1.0 / share - 1.0)
        found.append(replace(each, error=np.sqrt(squares.mean(axis=0))))
    return found
