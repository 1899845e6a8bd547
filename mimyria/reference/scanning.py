"""From forces at several field strengths to the errors at every one of them.

With the same stencil at the steps h_k each element of a tensor is, but for noise,

    T(h) = T + A h² + B h⁴

and its noise has the variance (gain σ_F/hᵖ)². The coefficients follow by weighted least
squares for each element; the mean of A² over the elements, less what noise alone puts
into it, is the truncation of `scan.ErrorModel`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from mimyria.errors import SettingsError, ShapeError
from mimyria.frame import Array
from mimyria.reference.finite_field import field_design, fit_tensors
from mimyria.reference.residuals import field_parts
from mimyria.reference.scan import ErrorModel, FieldScan
from mimyria.reference.stencils import recommended_step
from mimyria.units import BOHR_PER_ANGSTROM

__all__ = ["scan_fields"]

_LEAST_STEPS: Final = 3
_SAME_SHAPE: Final = 1e-3  # of the largest field; sets that differ by more do not scale
_SIGNIFICANT: Final = 3.0  # standard errors by which a term must stand out of noise
_LINEAR: Final = slice(1, 4)
_DIAGONAL: Final = slice(4, 7)
_OFF_DIAGONAL: Final = slice(7, 10)


def scan_fields(
    fields: ArrayLike,
    forces: ArrayLike,
    *,
    gap: float | None = None,
    length: float | None = None,
) -> FieldScan:
    """Errors against the field strength, from one stencil at several strengths.

    Three strengths are the least, four or more over a factor of ten are good: such as
    5e-4, 1e-3, 2e-3, 5e-3, 1e-2. One frame is enough for a system.

    Args:
        fields: (n_steps, n_fields, 3) a.u. — the same set, scaled.
        forces: (n_steps, n_fields, n_atoms, 3) Eh/a0.
        gap: band gap, eV; with `length` it limits the field in a periodic cell.
        length: longest edge of the cell, Å.

    Raises:
        ShapeError: the sets are not the same set at several strengths.
        SettingsError: there are too few strengths, or gap without length.

    Source: docs/theory.md, eq. (62).
    """
    steps, shape, values = _checked(fields, forces)
    fits = [fit_tensors(h * shape, each) for h, each in zip(steps, values, strict=True)]
    residuals = np.array([fit.residual for fit in fits])
    if any(fit.apt is None for fit in fits):
        raise SettingsError("a scan needs sets that determine the APT at least.")
    apts = np.stack([np.ravel(fit.apt) for fit in fits])  # type: ignore[arg-type]
    pgts = [fit.pgt for fit in fits if fit.pgt is not None]
    gains = _gains(shape)
    noise = _noise(steps, residuals, apts, gains[_LINEAR])
    diagonal = off_diagonal = None
    if len(pgts) == len(steps):
        on = np.stack([pgt[:, [0, 1, 2], [0, 1, 2]].ravel() for pgt in pgts])
        off = np.stack([pgt[:, [0, 0, 1], [1, 2, 2]].ravel() for pgt in pgts])
        gains[_LINEAR.stop :] *= BOHR_PER_ANGSTROM  # the PGT is per Å
        diagonal = _model(steps, on, 2, _rms(gains[_DIAGONAL]), noise)
        off_diagonal = _model(steps, off, 2, _rms(gains[_OFF_DIAGONAL]), noise)
    apt = _model(steps, apts, 1, _rms(gains[_LINEAR]), noise)
    third, fourth = _higher_derivatives(steps, shape, values, noise)
    limit = _limit(gap, length)
    return FieldScan(
        steps, noise, residuals, third, fourth, apt, diagonal, off_diagonal, limit
    )


def _checked(fields: ArrayLike, forces: ArrayLike) -> tuple[Array, Array, Array]:
    """Steps in rising order, the set for a step of 1, and forces in the same order."""
    vectors = np.asarray(fields, dtype=np.float64)
    values = np.asarray(forces, dtype=np.float64)
    if vectors.ndim != 3 or values.ndim != 4 or vectors.shape[:2] != values.shape[:2]:
        raise ShapeError(
            "a scan needs fields (n_steps, n_fields, 3) and forces (n_steps, n_fields, "
            f"n_atoms, 3), not {vectors.shape} and {values.shape}."
        )
    steps = np.abs(vectors).max(axis=(1, 2))
    if len(np.unique(np.round(np.log(np.maximum(steps, 1e-300)), 3))) < _LEAST_STEPS:
        raise SettingsError(
            f"a scan needs at least {_LEAST_STEPS} different field strengths, not "
            f"{', '.join(f'{step:g}' for step in steps)}."
        )
    order = np.argsort(steps, kind="stable")
    steps, vectors, values = steps[order], vectors[order], values[order]
    shapes = vectors / steps[:, np.newaxis, np.newaxis]
    if np.abs(shapes - shapes[0]).max() > _SAME_SHAPE:
        raise ShapeError(
            "a scan needs the same set of fields at every strength, in the same order, "
            "but their directions differ."
        )
    return steps, shapes.mean(axis=0), values


def _gains(shape: Array) -> Array:
    """(10,) standard error of each coefficient for noise and step of 1, per bohr."""
    inverse = np.linalg.pinv(field_design(shape), rcond=1e-10)
    gains: Array = np.linalg.norm(inverse, axis=1)
    return gains


def _noise(steps: Array, residuals: Array, apts: Array, gains: Array) -> float:
    """σ_F from r(h)² = σ_F² + c h⁶ + d h¹⁰ of the fits, or from the scatter of the APT.

    Cubic terms of the response stay in the residual of a quadratic fit.
    """
    if np.isfinite(residuals).all():
        squares = np.maximum(residuals**2, np.finfo(np.float64).tiny)
        h = steps / steps[-1]
        design = np.stack([np.ones_like(h), h**6, h**10], axis=1)
        # Each square is known to the same relative error.
        found, _ = nnls(design / squares[:, np.newaxis], np.ones_like(h))
        return math.sqrt(float(found[0]))
    growth = _grown(steps, apts, 1, n_terms=2)
    return growth.scatter / _rms(gains)


def _model(
    steps: Array, values: Array, power: int, gain: float, noise: float
) -> ErrorModel:
    """Growth of the elements with h, of the lowest order that describes it."""
    growth = _grown(steps, values, power, n_terms=2)
    if len(steps) > _LEAST_STEPS:
        longer = _grown(steps, values, power, n_terms=3)
        if all(longer.excess(term, gain * noise)[0] > 0 for term in (1, 2)):
            growth = longer
    truncation, hidden = growth.excess(1, gain * noise)
    return ErrorModel(power, gain, truncation, hidden, _rms(growth.coefficients[0]))


@dataclass(frozen=True, slots=True, eq=False)
class _Growth:
    """Coefficients (n_terms, n_elements) of h⁰, h², h⁴; their errors for noise 1."""

    coefficients: Array
    errors: Array
    scatter: float

    def excess(self, term: int, noise: float) -> tuple[float, float]:
        """Rms of a coefficient over the elements without noise, if it is above it.

        If it is not: zero, and the most that would not have been seen.
        """
        values = self.coefficients[term]
        expected = (noise * self.errors[term]) ** 2
        excess = float(np.mean(values**2)) - expected
        threshold = _SIGNIFICANT * expected * math.sqrt(2.0 / len(values))
        if excess > threshold:
            return math.sqrt(excess), 0.0
        return 0.0, math.sqrt(max(excess, 0.0) + threshold)


def _grown(steps: Array, values: Array, power: int, n_terms: int) -> _Growth:
    """Weighted least squares in h²; the noise of an element goes with 1/hᵖ."""
    weights = steps**power
    design = weights[:, np.newaxis] * (
        (steps / steps[-1])[:, np.newaxis] ** (2 * np.arange(n_terms))
    )
    inverse = np.linalg.pinv(design)
    weighted = weights[:, np.newaxis] * values
    scaled = inverse @ weighted
    left = weighted - design @ scaled
    n_free = max((len(steps) - n_terms) * values.shape[1], 1)
    back = (1.0 / steps[-1]) ** (2 * np.arange(n_terms))
    return _Growth(
        scaled * back[:, np.newaxis],
        np.linalg.norm(inverse, axis=1) * back,
        math.sqrt(float((left**2).sum()) / n_free),
    )


def _higher_derivatives(
    steps: Array, shape: Array, values: Array, noise: float
) -> tuple[float, float]:
    """Rms of F''' and F'''' along the axes, from central differences there."""
    axes = np.count_nonzero(np.abs(shape) > _SAME_SHAPE, axis=1) <= 1
    odd, even = [], []
    for h, forces in zip(steps, values, strict=True):
        parts = field_parts(h * shape[axes], forces[axes])
        lengths = np.abs(parts.vectors).max(axis=1)[:, np.newaxis, np.newaxis]
        odd.append((parts.odd / lengths).ravel())
        if parts.zero is not None:
            even.append((2.0 * (parts.even - parts.zero) / lengths**2).ravel())
    orders = ((odd, 1, math.sqrt(0.5), 6.0), (even, 2, math.sqrt(6.0), 12.0))
    found = []
    for rows, power, gain, factor in orders:
        if not rows or not len(rows[0]):
            found.append(math.nan)
            continue
        model = _model(steps, np.stack(rows), power, gain, noise)
        found.append(factor * model.truncation if model.resolved else math.nan)
    return found[0], found[1]


def _limit(gap: float | None, length: float | None) -> float:
    if gap is None and length is None:
        return math.inf
    if gap is None or length is None:
        raise SettingsError("gap and length limit the field together; give both.")
    return recommended_step(gap, length)


def _rms(array: Array) -> float:
    return math.sqrt(float(np.mean(array**2)))
