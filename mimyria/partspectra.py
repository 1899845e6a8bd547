"""Part spectra: how much each group of atoms, and each pair of groups, contributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mimyria.correlation import Correlation
from mimyria.frame import Array
from mimyria.parts import Parts
from mimyria.spectra import Spectrum, window_for_resolution
from mimyria.spectra.dielectric import N_COMPONENTS
from mimyria.spectra.grid import Grid, grid_for
from mimyria.spectra.jackknife import usable_blocks
from mimyria.spectra.noise import crossed
from mimyria.spectra.replicates import Compute, with_errors
from mimyria.spectra.scattering import (
    N_ANISOTROPIC,
    N_ISOTROPIC,
    PLACZEK,
    RAMAN_UNIT,
)
from mimyria.spectra.windows import LagWindow, grid_spacing
from mimyria.units import IR_CONSTANT

__all__ = ["PART_KINDS", "part_spectra"]

PART_KINDS = {"ir": "dipole", "raman_iso": "isotropic", "raman_aniso": "anisotropic"}
"""Spectra that can be told apart, and the field of `Parts` that each comes from."""

_N_COMPONENTS = {
    "ir": N_COMPONENTS,
    "raman_iso": N_ISOTROPIC,
    "raman_aniso": N_ANISOTROPIC,
}


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    unit: str
    factor: float
    window: LagWindow
    end: float

    @property
    def n_components(self) -> int:
        return _N_COMPONENTS[self.name]


def part_spectra(
    parts: Parts,
    kind: str,
    *,
    volume: float,
    temperature: float,
    resolution: float,
    window: str,
    max_wavenumber: float = 4500.0,
    assigned: bool = False,
) -> dict[str, Spectrum]:
    """Contributions to one spectrum, with errors; they add up to the whole.

    A pair of different groups stands for both of its orders, g with h and h with g.
    The cross terms may be negative. Errors come from blocks, or from theory while these
    are too few; errors of pairs of more than ten groups always come from theory. Errors
    of the parts do not add up, since parts are correlated. Below `Parts.reliable_from`
    only the sum of the parts has a meaning.

    Args:
        parts: correlations between groups.
        kind: key of `PART_KINDS`.
        volume: of the cell, Å³.
        temperature: of the ensemble, K.
        resolution: full width at half maximum of a sharp line, cm⁻¹.
        window: key of `WINDOWS`.
        max_wavenumber: end of the spectra, cm⁻¹.
        assigned: half of each pair is given to either group, so that there is one
            spectrum for each group, S_g = Σ_h Re S_gh.

    Returns:
        By label: `O`, `H` for groups alone, `O × H` for pairs; empty where the parts
        have no correlation of this kind. Their sum is the whole spectrum.

    Source: docs/theory.md, eq. (41).
    """
    correlation: Correlation | None = getattr(parts, PART_KINDS[kind])
    if correlation is None:
        return {}
    factors = {"ir": IR_CONSTANT / (volume * temperature), "raman_aniso": PLACZEK}
    unit = "cm^-1" if kind == "ir" else RAMAN_UNIT
    lag_window = window_for_resolution(
        window, resolution, correlation.n_lags, correlation.interval
    )
    described = _Kind(kind, unit, factors.get(kind, 1.0), lag_window, max_wavenumber)
    compute = _transform(parts, described, assigned=assigned)
    found = with_errors(compute, correlation, lag_window)
    if parts.shares is not None:
        found |= _of_shares(parts.shares, described, found, assigned=assigned)
    # Only what one group or molecule does alone is a power spectrum, with its χ².
    alone = () if assigned else parts.names[:1] if parts.n_self else parts.names
    return {
        label: part if label in alone else replace(part, dof=None)
        for label, part in found.items()
    }


def _of_shares(
    shares: Parts, kind: _Kind, found: Mapping[str, Spectrum], *, assigned: bool
) -> dict[str, Spectrum]:
    """Spectra of single groups with the errors of blocks that are kept for them."""
    correlation: Correlation | None = getattr(shares, PART_KINDS[kind.name])
    if correlation is None:
        return {}
    whole = len(shares.names) - 1

    def compute(part: Correlation) -> dict[str, Spectrum]:
        grid = _grid(part, kind)
        columns = (
            (shares.names[g], column)
            for (g, h), column in zip(part.pairs, part.values.T, strict=True)
            if (h == whole) == assigned
        )
        return {
            label: _spectrum(grid, kind, kind.factor * grid.cosine(column), None)
            for label, column in columns
        }

    if usable_blocks(correlation, kind.window.reach) is None:
        return {}
    return {
        label: replace(
            found[label],
            error=part.error,
            error_dof=part.error_dof,
            error_kind=part.error_kind,
        )
        for label, part in with_errors(compute, correlation, kind.window).items()
    }


def _transform(parts: Parts, kind: _Kind, *, assigned: bool) -> Compute:
    """What makes the spectra of a correlation of all pairs, with errors of theory."""

    def compute(correlation: Correlation) -> dict[str, Spectrum]:
        grid = _grid(correlation, kind)
        spectra = {
            pair: kind.factor * grid.cosine(column)
            for pair, column in zip(
                correlation.pairs, correlation.values.T, strict=True
            )
        }
        if parts.n_self:
            found = _self_and_distinct(parts, spectra)
        elif assigned:
            found = _assigned(parts, spectra)
        else:
            found = _pairs(parts, spectra)
        return {
            label: _spectrum(
                grid,
                kind,
                values,
                grid.theory_error(correlation, kind.n_components, spread),
            )
            for label, (values, spread) in found.items()
        }

    return compute


_Pairs = Mapping[tuple[int, int], Array]
_Found = dict[str, tuple[Array, Array]]  # values, and what their error is relative to


def _pairs(parts: Parts, spectra: _Pairs) -> _Found:
    """Every group, and every pair in both of its orders."""
    found = {}
    for (g, h), values in spectra.items():
        if g == h:
            found[parts.names[g]] = values, values
        else:
            spread = crossed(spectra[g, g], spectra[h, h], values)
            found[f"{parts.names[g]} × {parts.names[h]}"] = 2 * values, 2 * spread
    return found


def _assigned(parts: Parts, spectra: _Pairs) -> _Found:
    """Every group with the whole."""
    rows = [np.zeros_like(spectra[0, 0]) for _ in parts.names]
    for (g, h), values in spectra.items():
        rows[g] = rows[g] + values
        if g != h:
            rows[h] = rows[h] + values
    total = np.sum(rows, axis=0)
    return {
        name: (row, crossed(spectra[g, g], total, row))
        for g, (name, row) in enumerate(zip(parts.names, rows, strict=True))
    }


def _self_and_distinct(parts: Parts, spectra: _Pairs) -> _Found:
    """The self term is the mean of n equal processes, the whole one more.

    Source: docs/theory.md, eq. (89).
    """
    alone, distinct = spectra[0, 0], spectra[1, 1]
    spread = alone / np.sqrt(parts.n_self)
    names = parts.names
    whole = alone + distinct
    return {names[0]: (alone, spread), names[1]: (distinct, np.hypot(whole, spread))}


def _grid(correlation: Correlation, kind: _Kind) -> Grid:
    spacing = grid_spacing(kind.window.resolution)
    return grid_for(correlation, kind.window, spacing=spacing, high=kind.end)


def _spectrum(grid: Grid, kind: _Kind, values: Array, error: Array | None) -> Spectrum:
    return Spectrum(
        grid.wavenumbers, values, kind.unit, kind.name, error, kind.window.resolution
    )
