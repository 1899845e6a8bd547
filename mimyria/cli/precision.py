"""The part of `mimyria spectrum` that says how well the spectra are known."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING, Final

from mimyria.correlation import Correlation
from mimyria.errors import SettingsError
from mimyria.spectra import Spectrum, compute_spectra, find_band, find_bands
from mimyria.spectra.convergence import BandError, band_errors
from mimyria.spectra.jackknife import halves
from mimyria.spectra.replicates import Replicates, Spectra, replicates
from mimyria.spectra.windows import window_for_resolution

if TYPE_CHECKING:
    from mimyria.storage import Result

__all__ = ["add_precision_options", "precision_report"]

_TARGETS: Final = {"ir": 0.03, "raman_vv": 0.05}
_LABELS: Final = {"ir": "ir", "raman_vv": "raman"}
_MOST_BANDS: Final = 6


def add_precision_options(parser: argparse.ArgumentParser) -> None:
    """Add `--target` and `--band`."""
    group = parser.add_argument_group("how well the spectra are known")
    group.add_argument(
        "--target",
        type=float,
        metavar="PERCENT",
        help="wanted relative error, to say how much longer the run would have to be "
        "(default: that of the run, else 3 for IR and 5 for Raman)",
    )
    group.add_argument(
        "--band",
        action="append",
        default=[],
        metavar="LOW-HIGH",
        help="range in cm⁻¹ to judge by itself, as often as you like",
    )


def precision_report(result: Result, arguments: argparse.Namespace) -> list[str]:
    """Errors with their kind, time still needed, and band positions with errors."""
    bands = [_band(text) for text in arguments.band]
    lines: list[str] = []
    for name, correlation in (
        ("ir", result.dipole),
        ("raman_vv", result.polarizability),
    ):
        if correlation is None or name not in result.spectra:
            continue
        target = _target(result, name, arguments.target)
        errors = band_errors(
            result.spectra,
            correlation.n_samples,
            {name: target},
            bands,
            _halves(result, name, correlation),
        )
        kind = result.spectra[name].error_source
        lines += [_line(error, kind, correlation.interval) for error in errors]
        lines += _positions(result, name, correlation)
    if lines:
        lines = ["", "Precision: Σ standard error / Σ intensity", *lines]
    return lines


def _line(error: BandError, kind: str, interval: float) -> str:
    text = (
        f"  {_LABELS[error.name]:6s} {error.low:.0f}–{error.high:.0f} cm⁻¹: "
        f"±{error.error:.1%} ({kind})"
    )
    if error.drift is not None:
        text += (
            f"; halves differ by {error.drift:.1%} (usual {error.expected_drift:.1%})"
        )
    needed, target = error.needed, error.target
    assert needed is not None
    if needed <= error.n_samples:
        return f"{text}; {target:.1%} is reached"
    more = (needed - error.n_samples) * interval / 1000
    return f"{text}; {target:.1%} needs {more:.0f} ps more"


def _positions(result: Result, name: str, correlation: Correlation) -> list[str]:
    """Tops of the strongest bands with their errors."""
    if not correlation.n_samples:
        return []
    found = _replicates(result, name, correlation)
    bands = sorted(find_bands(found.whole[name]), key=lambda band: -band.height)
    texts = []
    for band in sorted(bands[:_MOST_BANDS], key=lambda band: band.position):
        low, high = band.low, band.high

        def position(spectra: Spectra, low: float = low, high: float = high) -> float:
            try:
                return find_band(spectra[name], low, high).position
            except SettingsError:  # in a draw of a short run it may not be there
                return math.nan

        error = float(found.error_of(position)) if high > low else math.nan
        if math.isfinite(error):
            texts.append(f"{band.position:.1f} ± {error:.1f}")
    return [f"         bands at {', '.join(texts)} cm⁻¹"] if texts else []


def _replicates(result: Result, name: str, correlation: Correlation) -> Replicates:
    spectrum = result.spectra[name]
    window = window_for_resolution(
        str(result.provenance["window"]),
        spectrum.resolution,
        correlation.n_lags,
        correlation.interval,
    )
    return replicates(lambda part: _compute(result, name, part), correlation, window)


def _halves(
    result: Result, name: str, correlation: Correlation
) -> tuple[Spectra, Spectra] | None:
    parts = halves(correlation)
    if parts is None:
        return None
    first, second = (_compute(result, name, part) for part in parts)
    return first, second


def _compute(
    result: Result, name: str, correlation: Correlation
) -> dict[str, Spectrum]:
    pair = (correlation, None) if name == "ir" else (None, correlation)
    return compute_spectra(
        *pair,
        volume=result.volume,
        temperature=result.temperature,
        resolution=result.spectra[name].resolution,
        window=str(result.provenance["window"]),
    )


def _target(result: Result, name: str, percent: float | None) -> float:
    if percent is not None:
        if not 0 < percent < 100:
            raise SettingsError(f"--target must be from 0 to 100 %, not {percent:g}.")
        return percent / 100
    stored = result.provenance.get(f"target_{_LABELS[name]}", _TARGETS[name])
    return float(stored)


def _band(text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        band = (float(low), float(high))
    except ValueError:
        band = (0.0, 0.0)
    if not 0 <= band[0] < band[1]:
        raise SettingsError(f"--band must be as 1500-1800, in cm⁻¹, but is '{text}'.")
    return band
