"""Compatibility: the numbers of Mimyria 0.9.0, habits included, for comparisons.

Nothing here is recommended. The habits, each of which docs/theory.md explains:

* the mean of every trajectory is removed, and trajectories have equal weights whatever
  their lengths; lags that a shorter one does not reach count as zero;
* the Hann window is cos²(π (l − 1)/2L): its largest weight is at lag 1;
* the IR carries a factor π/3; the column ANISO is VH/15, where γ² would be 15 VH;
* Raman spectra are transforms over c t, in cm instead of fs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy import fft

from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.frame import Array
from mimyria.spectra.ir import ir_absorption
from mimyria.spectra.raman import raman_spectra
from mimyria.spectra.scattering import RAMAN_UNIT
from mimyria.spectra.spectrum import Spectrum
from mimyria.spectra.windows import LagWindow
from mimyria.units import SPEED_OF_LIGHT

__all__ = [
    "DEFAULT_WINDOW",
    "MODES",
    "compat_correlation",
    "compat_spectra",
    "compat_window",
    "stored_correlation",
    "window_text",
]

MODES: Final = ("mimyria-0.9",)
"""Programs whose numbers can be had."""

DEFAULT_WINDOW: Final = 1000
"""Window length of that program, in lags."""

_FINE: Final = 64
"""Points of a transform for each lag, to see the half height of a line between them."""

_IR_FACTOR: Final = math.pi / 3.0
_ANISO_FACTOR: Final = 1.0 / 225.0
_RAMAN_NAMES: Final = ("raman_iso", "raman_aniso", "raman_vv", "raman_vh")
_RAMAN_UNIT: Final = RAMAN_UNIT.replace("fs^-1", "fs^-2 cm")


def compat_correlation(
    trajectories: Sequence[Array], interval: float, unit: str
) -> Correlation:
    """Correlation of samples as that program forms it, with all lags of the first.

    Args:
        trajectories: (n_samples, n_channels) each — dM/dt or the six of dα/dt.
        interval: time between samples, fs.
        unit: unit of the correlation.

    Raises:
        IncompatibleError: a trajectory is longer than the first one; that program stops
            there and leaves an earlier output in place.
    """
    if not trajectories:
        raise SettingsError("a correlation needs at least one trajectory.")
    n_lags, n_channels = trajectories[0].shape
    parts = []
    for samples in trajectories:
        if len(samples) > n_lags:
            raise IncompatibleError(
                f"mimyria 0.9 takes no trajectory longer than the first ({n_lags} "
                f"samples), but one has {len(samples)}. Put the longest one first."
            )
        correlator = Correlator(n_channels, n_lags, interval, unit)
        correlator.push(samples - samples.mean(axis=0))
        parts.append(correlator.result())
    counts = np.sum([part.counts for part in parts], axis=0)
    values: Array = np.mean([part.values for part in parts], axis=0)
    n_samples = sum(part.n_samples for part in parts)
    return replace(
        parts[0], values=values, counts=counts, n_samples=n_samples, blocks=None
    )


def stored_correlation(
    correlation: Correlation, window_length: int
) -> tuple[Correlation, list[str]]:
    """What that program would have made of the samples of a stored correlation.

    It keeps as many lags as the first trajectory has samples, which sets the grid of
    its spectra. Lags that are not stored but lie beyond its window are zeros here.

    Args:
        correlation: of a run; its segments are the trajectories.
        window_length: lags; 0 for all.

    Returns:
        The correlation without blocks, and notes for the reader.
    """
    found = correlation.trajectories
    if found is None:
        # Lags without a pair are beyond the longest trajectory.
        reached = max(int(np.count_nonzero(correlation.counts)), 2)
        return _first_lags(correlation, reached), [
            "the mean of each trajectory is not removed, which that program does: this "
            "file (or one it was merged from) is of an older version and does not hold "
            "what that takes. Write it again from the journal."
        ]
    notes = [
        "the mean of each trajectory is removed; unbroken segments of the run that "
        f"count as trajectories, all of equal weight: {found.number}."
    ]
    if found.longest > found.first:
        notes.append(
            f"that program takes no trajectory longer than the first ({found.first} "
            f"samples), but the longest has {found.longest}: these would be its "
            "numbers with the longest one first."
        )
    n_lags = max(found.longest, 2)
    needed = min(window_length + 1, n_lags) if window_length else n_lags
    if needed > correlation.n_lags:
        notes.append(
            f"that program would use {needed} lags, but only {correlation.n_lags} are "
            f"stored: --window-length {correlation.n_lags - 1} is the longest window "
            "with all its lags."
        )
        n_lags = correlation.n_lags
    kept = min(n_lags, correlation.n_lags)
    values = np.zeros((n_lags, len(correlation.pairs)))
    values[:kept] = found.values[:kept]
    counts = np.zeros(n_lags, np.int64)
    counts[:kept] = correlation.counts[:kept]
    lags: Array = correlation.interval * np.arange(n_lags, dtype=np.float64)
    return replace(
        correlation,
        lags=lags,
        values=values,
        counts=counts,
        blocks=None,
        trajectories=None,
    ), notes


def compat_window(length: int, n_lags: int, interval: float) -> LagWindow:
    """cos²(π (l − 1)/2 length) up to lag `length`; length 0 means all lags.

    Where there are fewer lags it is cut off, which makes the resolution coarser or, by
    side lobes, finer.
    """
    if length < 0:
        raise SettingsError(f"the window length must be 0 or more lags, not {length}.")
    length = length or n_lags
    lags = np.arange(n_lags)
    weights = np.cos(0.5 * np.pi * (lags - 1) / length) ** 2
    weights = np.where(lags <= length, weights, 0.0)
    return LagWindow("mimyria-0.9", weights, _line_width(weights, interval))


def window_text(program: str, length: int, n_lags: int) -> str:
    """Program, length of its window and where that ends, for people.

    Args:
        program: one of `MODES`.
        length: of the window, lags; 0 for all.
        n_lags: lags there are.
    """
    text = f"{program}, {length or n_lags} lags"
    return f"{text} cut off after {n_lags}" if length >= n_lags else text


def compat_spectra(
    dipole: Correlation | None,
    polarizability: Correlation | None,
    *,
    volume: float,
    temperature: float,
    window_length: int = DEFAULT_WINDOW,
) -> dict[str, Spectrum]:
    """What `corr2spec` of that program prints for its isotropic averages.

    Args:
        dipole: correlation of the dipole velocity, or None.
        polarizability: correlation of the polarizability velocity, or None.
        volume: Å³.
        temperature: K.
        window_length: lags; 0 for all.

    Returns:
        `compat_ir` and `compat_raman_iso`, `…_aniso`, `…_vv`, `…_vh`, without errors.
        The names keep them apart from right ones.
    """
    found: dict[str, Spectrum] = {}
    if dipole is not None:
        window = compat_window(window_length, dipole.n_lags, dipole.interval)
        ir = ir_absorption(
            dipole, volume=volume, temperature=temperature, window=window
        )
        found["compat_ir"] = _renamed(ir, _IR_FACTOR, ir.unit)
    if polarizability is not None:
        window = compat_window(
            window_length, polarizability.n_lags, polarizability.interval
        )
        raman = raman_spectra(polarizability, window=window)
        for name in _RAMAN_NAMES:
            factor = SPEED_OF_LIGHT
            if name == "raman_aniso":
                factor *= _ANISO_FACTOR
            found[f"compat_{name}"] = _renamed(raman[name], factor, _RAMAN_UNIT)
    return found


def _line_width(weights: Array, interval: float) -> float:
    """Full width at half maximum of a sharp line, cm⁻¹, for any weights."""
    n_points = int(fft.next_fast_len(_FINE * len(weights), real=True))
    line = 2.0 * fft.rfft(weights, n_points).real - weights[0]
    half = 0.5 * line[0]
    after = int(np.argmax(line < half))
    beyond = (line[after - 1] - half) / (line[after - 1] - line[after])
    step = 1.0 / (SPEED_OF_LIGHT * interval * n_points)
    return 2.0 * step * (after - 1 + float(beyond))


def _first_lags(correlation: Correlation, n_lags: int) -> Correlation:
    return replace(
        correlation,
        lags=correlation.lags[:n_lags],
        values=correlation.values[:n_lags],
        counts=correlation.counts[:n_lags],
        blocks=None,
    )


def _renamed(spectrum: Spectrum, factor: float, unit: str) -> Spectrum:
    return Spectrum(
        spectrum.wavenumbers,
        factor * spectrum.intensity,
        unit,
        f"compat_{spectrum.name}",
        None,
        spectrum.resolution,
    )
