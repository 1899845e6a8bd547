"""Part spectra: how much each group of atoms, and each pair of groups, contributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mimyria.correlation import Correlation
from mimyria.parts import Parts
from mimyria.spectra import Spectrum, window_for_resolution
from mimyria.spectra.grid import grid_for
from mimyria.spectra.jackknife import with_block_errors
from mimyria.spectra.scattering import PLACZEK, RAMAN_UNIT
from mimyria.spectra.windows import grid_spacing
from mimyria.units import IR_CONSTANT

__all__ = ["PART_KINDS", "part_spectra"]

PART_KINDS = {"ir": "dipole", "raman_iso": "isotropic", "raman_aniso": "anisotropic"}
"""Spectra that can be told apart, and the field of `Parts` that each comes from."""


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    unit: str
    factor: float


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
    """Contributions to one spectrum; they add up to the whole.

    A pair of different groups stands for both of its orders, g with h and h with g.
    The cross terms may be negative. Errors come from blocks, and are absent while these
    are too few. Below `Parts.reliable_from` only their sum has a meaning.

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
    if assigned:
        correlation = _assigned(correlation, len(parts.names))
    factors = {"ir": IR_CONSTANT / (volume * temperature), "raman_aniso": PLACZEK}
    unit = "cm^-1" if kind == "ir" else RAMAN_UNIT
    described = _Kind(kind, unit, factors.get(kind, 1.0))
    compute = _transform(parts, described, resolution, window, max_wavenumber)
    lag_window = window_for_resolution(
        window, resolution, correlation.n_lags, correlation.interval
    )
    return with_block_errors(compute, correlation, lag_window.reach)


def _assigned(correlation: Correlation, n_groups: int) -> Correlation:
    """C_g = Σ_h C_gh for each group, with blocks."""
    share = np.zeros((len(correlation.pairs), n_groups))
    for column, (g, h) in enumerate(correlation.pairs):
        share[column, g] = share[column, h] = 1.0
    blocks = correlation.blocks
    return replace(
        correlation,
        values=correlation.values @ share,
        pairs=tuple((g, g) for g in range(n_groups)),
        trajectories=None,
        blocks=None
        if blocks is None
        else replace(blocks, values=blocks.values @ share),
    )


def _transform(
    parts: Parts, kind: _Kind, resolution: float, window: str, end: float
) -> Callable[[Correlation], dict[str, Spectrum]]:
    def compute(correlation: Correlation) -> dict[str, Spectrum]:
        lag_window = window_for_resolution(
            window, resolution, correlation.n_lags, correlation.interval
        )
        spacing = grid_spacing(resolution)
        grid = grid_for(correlation, lag_window, spacing=spacing, high=end)
        found = {}
        for column, (g, h) in zip(correlation.values.T, correlation.pairs, strict=True):
            values = grid.cosine(column)
            scale = kind.factor * (1.0 if g == h else 2.0)
            label = parts.names[g] if g == h else f"{parts.names[g]} × {parts.names[h]}"
            found[label] = Spectrum(
                grid.wavenumbers,
                scale * values,
                kind.unit,
                kind.name,
                None,
                lag_window.resolution,
            )
        return found

    return compute
