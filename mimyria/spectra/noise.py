"""Noise: closed formulas for errors of what is made of several power spectra.

If the motion is Gaussian noise, the spectra S_uv of n channels have the covariances

    cov(S_uv, S_xy) = r² (S_ux S_vy + S_uy S_vx)/2

with the relative error r of one of them. Sums, crosses and ratios follow from these. A
*spread* is what the error of a spectrum is relative to, σ = r × spread.
"""

from __future__ import annotations

import numpy as np

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.spectra.grid import Grid

__all__ = ["combined_error", "crossed", "form_spread", "ratio_error"]


def combined_error(
    weights: tuple[float, float], iso_error: Array, g2_error: Array
) -> Array:
    """Error of a sum of a² and γ² with these weights, taken as independent.

    A term of weight zero is left out, even where its error is infinite.
    """
    terms = [
        weight * error
        for weight, error in zip(weights, (iso_error, g2_error), strict=True)
        if weight
    ]
    combined: Array = np.sqrt(sum(term**2 for term in terms))
    return combined


def crossed(one: Array, other: Array, both: Array) -> Array:
    """What the error of a cross spectrum is relative to: √[(S_uu S_vv + S_uv²)/2].

    Args:
        one: S_uu.
        other: S_vv.
        both: S_uv, which may be negative.

    Source: docs/theory.md, eq. (87).
    """
    spread: Array = np.sqrt(np.maximum(one * other + both**2, 0.0) / 2.0)
    return spread


def form_spread(
    correlation: Correlation, grid: Grid, form: Array, factor: Array | float = 1.0
) -> Array:
    """What the error of a quadratic form is relative to: σ = r √Tr(F S F S).

    That is the spectrum itself for one pair of polarisations, and less for a sum over
    several, whose noise is not the same.

    Args:
        correlation: of the six components in the order of `currents.VOIGT`.
        grid: of the spectrum.
        form: (6, 6) symmetric.
        factor: for each wavenumber.

    Source: docs/theory.md, eq. (87).
    """
    used = np.flatnonzero(np.abs(form).sum(axis=0))
    matrix = np.empty((len(grid.wavenumbers), len(used), len(used)))
    for i, u in enumerate(used):
        for j, v in enumerate(used[: i + 1]):
            spectrum = grid.cosine(correlation.column(int(u), int(v)))
            matrix[:, i, j] = matrix[:, j, i] = spectrum
    product = form[np.ix_(used, used)] @ matrix
    trace = np.einsum("kij,kji->k", product, product)
    spread: Array = np.abs(factor) * np.sqrt(np.maximum(trace, 0.0))
    return spread


def ratio_error(
    above: tuple[float, float],
    below: tuple[float, float],
    invariants: tuple[Array, Array],
    errors: tuple[Array, Array],
) -> Array:
    """Error of the ratio X/Y of two sums of a² and γ², taken as independent.

    d(X/Y) = Σ_i (x_i − X/Y y_i) dI_i / Y

    Args:
        above: weights x of a² and γ² in X.
        below: weights y in Y.
        invariants: the spectra of a² and γ².
        errors: of them.

    Returns:
        The error; infinite where Y is zero.

    Source: docs/theory.md, eq. (88).
    """
    numerator, denominator = (
        sum(w * each for w, each in zip(weights, invariants, strict=True))
        for weights in (above, below)
    )
    known = denominator != 0
    safe = np.where(known, denominator, 1.0)
    ratio = numerator / safe
    terms = [
        (x - ratio * y) * np.where(known, error, 0.0) / safe
        for x, y, error in zip(above, below, errors, strict=True)
    ]
    found: Array = np.where(known, np.hypot(*terms), np.inf)
    return found
