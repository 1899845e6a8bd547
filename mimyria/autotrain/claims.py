"""Claims: how far the spectrum of a committee may be from that of exact tensors.

The current of the model is that of the exact tensors plus an error, J = J* + e, so that
on the same trajectory S = S* + 2 Re S[J*, e] + S_e. The power S_e is known: its shape
from what members disagree about, its size from held-out frames. What it does to S
depends on how much of the error is in phase with the current. Of that the held-out
frames tell the sum over all wavenumbers, and the members how it is spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtrit

from mimyria.autotrain.committeespectra import KindSpectra
from mimyria.autotrain.testerrors import KindErrors
from mimyria.errors import SettingsError
from mimyria.frame import Array

__all__ = ["Band", "BandClaim", "Claim", "claim_error"]

Band = tuple[float, float]

_WIDTHS: Final = 5.0
"""Widths of the resolution over which the share in phase is taken."""


@dataclass(frozen=True, slots=True)
class BandClaim:
    """What is claimed of one band.

    Attributes:
        low: its lower end, cm⁻¹.
        high: its upper end, cm⁻¹.
        weight: its part of the whole intensity.
        score: claimed score Σ|S − S*| / Σ(S + S*) in the band, at the level of the
            claim.
        bound: the same by the inequality of Cauchy and Schwarz.
        coherence: γ of the members.
        statistical: Δ of the trajectories.
    """

    low: float
    high: float
    weight: float
    score: float
    bound: float
    coherence: float
    statistical: float


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """What is claimed of one spectrum of the mean of a committee.

    Attributes:
        level: part of such claims that should hold.
        epsilon: calibrated ε on the trajectories, the best estimate, but not less than
            held-out frames show at the level.
        epsilon_upper: the same, at the level; not less than ε of the held-out frames.
        scatter: standard error of `epsilon`, as a part of it.
        score: claimed score, at the level.
        bound: the most that the score can be if ε is `epsilon_upper`, at any phase.
        wavenumbers: (n,) cm⁻¹.
        curve: (n,) — claimed |S − S*| of each point by itself, in the unit of S.
        bands: of each band.
        statistical: Δ of the trajectories.
    """

    level: float
    epsilon: float
    epsilon_upper: float
    scatter: float
    score: float
    bound: float
    wavenumbers: Array
    curve: Array
    bands: tuple[BandClaim, ...]
    statistical: float


def claim_error(
    errors: KindErrors,
    spectra: KindSpectra,
    n_frames: int,
    bands: Sequence[Band] = (),
    level: float = 0.95,
) -> Claim:
    """Claim of the spectral error of the mean of a committee.

    Args:
        errors: from held-out frames.
        spectra: of the committee, of the same kind.
        n_frames: held-out frames, two or more.
        bands: ranges in cm⁻¹; none means the whole spectrum.
        level: part of claims that should hold.

    Raises:
        SettingsError: the level is not between 0.5 and 1, there are fewer than two
            held-out frames, or a band lies outside of the spectrum.

    Source: docs/theory.md, eqs. (104), (105), (106).
    """
    if not 0.5 < level < 1:
        raise SettingsError(f"level must be between 0.5 and 1, but is {level}.")
    if n_frames < 2:
        raise SettingsError(
            f"a claim needs two held-out frames or more, but there are {n_frames}: "
            "one says nothing about its own scatter. Hold out more."
        )
    mean = np.maximum(spectra.mean, 0.0)
    best, power = _powers(errors, spectra, _quantile(level, n_frames - 1))
    shift = _shift(errors, _quantile(level, n_frames - 1))
    in_phase = 2 * _phase_share(spectra) * np.sqrt(mean * power)
    bound = 2 * np.sqrt(mean * power) + power

    def claimed(factor: float) -> Array:
        return np.minimum(np.hypot(shift * mean, factor * in_phase) + power, bound)

    wide = claimed(_quantile(level, spectra.n_members - 1))
    total = float(mean.sum())
    return Claim(
        level,
        _root(best, total),
        _root(power, total),
        _part(errors.epsilon_error, errors.epsilon),
        _score(claimed(1.0), mean),
        _score(bound, mean),
        spectra.wavenumbers,
        claimed(_quantile((1 + level) / 2, spectra.n_members - 1)),
        tuple(
            _band_claim(band, spectra, mean, wide, bound)
            for band in bands or _whole(spectra)
        ),
        _statistical(spectra, mean),
    )


def _shift(errors: KindErrors, quantile: float) -> float:
    """By what part S may be off through errors that members share, at any place.

    Their sum over all wavenumbers is known, but hides what is too large here and too
    small there; what moves of the atoms tell of that is in `phased`.
    """
    known = math.isfinite(errors.phased)
    anywhere = errors.phased if known else errors.epsilon
    return max(abs(errors.shift) + quantile * errors.shift_error, 2 * anywhere)


def _powers(
    errors: KindErrors, spectra: KindSpectra, quantile: float
) -> tuple[Array, Array]:
    """Power of the error of the mean, (n,) twice: the best estimate, and from above."""
    mean = np.maximum(spectra.mean, 0.0)
    apart = np.maximum(spectra.disagreement, 0.0)
    best = errors.hidden * mean + errors.seen * apart
    # What members get wrong alike need not stand where the lines stand.
    wide = np.maximum(mean, _running_mean(mean, spectra))
    factor = errors.factor if math.isfinite(errors.factor) else 0.0
    scatter = _part(errors.epsilon_error, errors.epsilon)
    loose = math.hypot(scatter, _part(errors.factor_error, factor))
    from_above = (1 + quantile * scatter) ** 2
    seen = (1 + quantile * loose) ** 2 * errors.seen
    power = np.maximum(
        from_above * errors.hidden * wide + seen * apart, from_above * factor * apart
    )
    shown = errors.epsilon * max(1 - quantile * scatter, 0.0)
    return _at_least(shown, best, mean), _at_least(errors.epsilon, power, mean)


def _at_least(epsilon: float, power: Array, mean: Array) -> Array:
    """The power of an error, scaled up where its ε would be less than is known."""
    found, wanted = float(power.sum()), epsilon**2 * float(mean.sum())
    if found >= wanted:
        return power
    return power * (wanted / found) if found > 0 else epsilon**2 * mean


def _phase_share(spectra: KindSpectra) -> Array:
    """g, (n,): how much of the disagreement is in phase with the current; 0 to 1.

    A running root mean square over some widths of the resolution, since one point of
    a few members says little.
    """
    mean = np.maximum(spectra.mean, 0.0)
    size = _running_mean(mean * np.maximum(spectra.disagreement, 0.0), spectra)
    share = np.ones(len(mean))
    np.divide(
        _running_mean(spectra.leaning**2, spectra), size, out=share, where=size > 0
    )
    return np.sqrt(np.minimum(share, 1.0))


def _band_claim(
    band: Band, spectra: KindSpectra, mean: Array, claimed: Array, bound: Array
) -> BandClaim:
    low, high = band
    inside = (spectra.wavenumbers >= low) & (spectra.wavenumbers <= high)
    if not inside.any():
        raise SettingsError(
            f"the band {low:g} to {high:g} cm⁻¹ has no point: the spectrum reaches "
            f"from {spectra.wavenumbers[0]:g} to {spectra.wavenumbers[-1]:g} cm⁻¹."
        )
    own = mean[inside]
    autos = float(spectra.autos[inside].sum())
    return BandClaim(
        low,
        high,
        float(own.sum() / mean.sum()),
        _score(claimed[inside], own),
        _score(bound[inside], own),
        float(spectra.cross[inside].sum()) / autos if autos > 0 else math.nan,
        float(spectra.error[inside].sum() / own.sum()) if own.any() else math.inf,
    )


def _whole(spectra: KindSpectra) -> tuple[Band, ...]:
    return ((float(spectra.wavenumbers[0]), float(spectra.wavenumbers[-1])),)


def _statistical(spectra: KindSpectra, mean: Array) -> float:
    """Δ of eq. (34)."""
    total = float(mean.sum())
    return float(spectra.error.sum()) / total if total > 0 else math.inf


def _score(difference: Array, mean: Array) -> float:
    """Σ|S − S*| / Σ(S + S*) if S* is that much smaller; at most 1."""
    off, total = float(difference.sum()), float(mean.sum())
    return off / (2 * total - off) if off < total else 1.0


def _root(power: Array, total: float) -> float:
    return math.sqrt(float(power.sum()) / total) if total > 0 else math.inf


def _part(error: float, value: float) -> float:
    """An error as a part of the value; 0 where there is none."""
    return error / value if value > 0 and math.isfinite(error) else 0.0


def _running_mean(values: Array, spectra: KindSpectra) -> Array:
    """Mean over some widths of the resolution around each point, (n,)."""
    spacing = float(spectra.wavenumbers[1] - spectra.wavenumbers[0])
    half = round(_WIDTHS * spectra.resolution / spacing / 2)
    sums = np.concatenate(([0.0], np.cumsum(values)))
    places = np.arange(len(values))
    first = np.maximum(places - half, 0)
    last = np.minimum(places + half + 1, len(values))
    means: Array = (sums[last] - sums[first]) / (last - first)
    return np.maximum(means, 0.0)


def _quantile(level: float, dof: int) -> float:
    """Of Student's t."""
    return float(stdtrit(dof, level))
