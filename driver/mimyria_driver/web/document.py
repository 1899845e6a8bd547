"""Document: a result as plain values for the page, and its bands with their errors.

It turns numbers into other numbers; it knows no file, no clock and no request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from mimyria.errors import MimyriaError, SettingsError
from mimyria.experiments import experiment_names, load_experiment
from mimyria.frame import Array
from mimyria.partspectra import PART_KINDS
from mimyria.recomputed import Sampled, StoredRun, parts_of
from mimyria.spectra import Spectrum, find_band, find_bands
from mimyria.spectra.convergence import integrated_error
from mimyria.spectra.jackknife import jackknife_error
from mimyria.storage import Result

__all__ = ["View", "document_of", "experiments", "resolutions_of", "view_of"]

_FACTORS: Final = (1.0, 2.0, 4.0)
"""Of the stored resolution, the coarser ones that the page offers."""
_BANDLESS: Final = ("depolarisation_ratio",)
_MOST_BANDS: Final = 8
_DIGITS: Final = 6

View = dict[str, Sampled]
"""Spectra by name at one resolution, with their replicates where there are blocks."""


def resolutions_of(result: Result) -> list[float]:
    """Resolutions that the page offers, the stored one first, cm⁻¹."""
    for spectrum in result.spectra.values():
        if spectrum.resolution > 0:
            return [factor * spectrum.resolution for factor in _FACTORS]
    return []


def view_of(result: Result, resolution: float | None = None) -> View:
    """The IR and Raman spectra at a resolution; None: as they are stored."""
    run = StoredRun(result)
    names = [n for n in result.spectra if n == "ir" or n.startswith("raman_")]
    names += [n for n in _BANDLESS if n in result.spectra]
    if resolution is None:
        return {name: run.sampled(name) for name in names}
    return {
        name: run.at_resolution(name, resolution)
        for name in names
        if run.can_recompute(name)
    }


def document_of(result: Result, view: View) -> dict[str, Any]:
    """All that the page shows of a result."""
    grids: list[Array] = []
    spectra = {
        name: _curve(sampled.spectrum, grids)
        | {"bands": [] if name in _BANDLESS else _bands(sampled)}
        for name, sampled in view.items()
    }
    correlation = result.dipole or result.polarizability
    n_samples = 0 if correlation is None else correlation.n_samples
    return {
        "spectra": spectra,
        "parts": {
            name: [{"label": label} | _curve(part, grids) for label, part in p.items()]
            for name, p in _parts(result, view).items()
        },
        "grids": [_numbers(grid) for grid in grids],
        "resolution": next((s.spectrum.resolution for s in view.values()), None),
        "resolutions": resolutions_of(result),
        "window": str(result.provenance.get("window", "")),
        "temperature": _number(result.temperature),
        "volume": _number(result.volume),
        "n_samples": n_samples,
        "picoseconds": _number(n_samples * result.interval / 1000),
        "diagnostics": [
            {
                "name": d.name,
                "value": _number(d.value),
                "expected": _number(d.expected),
                "error": _number(d.error),
                "verdict": d.verdict,
                "sentence": d.sentence,
            }
            for d in result.diagnostics
        ],
        "reliable_from": 0.0 if result.parts is None else result.parts.reliable_from,
    }


def experiments() -> list[dict[str, Any]]:
    """Bands of the experiments that ship with the program."""
    found = []
    for name in experiment_names():
        experiment = load_experiment(name)
        bands = [
            {
                "name": band.name,
                "spectrum": band.spectrum,
                "position": band.position,
                "low": band.low,
                "high": band.high,
                "memory": band.status == "memory",
            }
            for band in experiment.bands
            if band.position is not None
        ]
        found.append({"name": name, "title": experiment.title, "bands": bands})
    return found


def _parts(result: Result, view: View) -> dict[str, Mapping[str, Spectrum]]:
    found: dict[str, Mapping[str, Spectrum]] = {}
    for name in PART_KINDS:
        if name not in view:
            continue
        try:
            parts = parts_of(result, view[name].spectrum)
        except MimyriaError:
            continue  # an older result may lack what they need; the whole is there
        if parts:
            found[name] = parts
    return found


def _curve(spectrum: Spectrum, grids: list[Array]) -> dict[str, Any]:
    """Intensity and error, and which of the grids they are on."""
    same = [np.array_equal(grid, spectrum.wavenumbers) for grid in grids]
    if not any(same):
        grids.append(spectrum.wavenumbers)
    number = same.index(True) if any(same) else len(same)
    return {
        "grid": number,
        "unit": spectrum.unit,
        "intensity": _numbers(spectrum.intensity),
        "error": None if spectrum.error is None else _numbers(spectrum.error),
        "error_source": "" if spectrum.error is None else spectrum.error_source,
        "relative_error": _number(integrated_error(spectrum, 0.0, math.inf)),
    }


def _bands(sampled: Sampled) -> list[dict[str, Any]]:
    """The strongest bands, as `mimyria spectrum` has them, by wavenumber."""
    spectrum = sampled.spectrum
    strongest = sorted(find_bands(spectrum), key=lambda band: -band.height)
    return [
        {
            "position": _number(band.position),
            "position_error": _number(_position_error(sampled, band.low, band.high)),
            "height": _number(band.height),
            "low": _number(band.low),
            "high": _number(band.high),
            "error": _number(integrated_error(spectrum, band.low, band.high)),
        }
        for band in sorted(strongest[:_MOST_BANDS], key=lambda band: band.position)
    ]


def _position_error(sampled: Sampled, low: float, high: float) -> float:
    """Standard error of the top of a band by the jackknife; NaN without blocks.

    Source: docs/theory.md, eq. (31).
    """
    if not sampled.without:
        return math.nan
    whole = _top(sampled.spectrum, low, high)
    without = [_top(each, low, high) for each in sampled.without]
    return float(jackknife_error(whole, without, sampled.samples))


def _top(spectrum: Spectrum, low: float, high: float) -> float:
    try:
        return find_band(spectrum, low, high).position
    except SettingsError:
        return math.nan


def _number(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _numbers(values: Array | Sequence[float]) -> list[float | None]:
    return [_number(value) for value in np.asarray(values).tolist()]
