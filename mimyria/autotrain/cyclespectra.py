"""Spectra of a cycle: from what the members said of the trajectories to spectra.

One file for people, a result like that of any run, of the mean of the members; and one
for the judgement, with what the members disagree about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mimyria import __version__
from mimyria.autotrain.evaluation import Evaluation
from mimyria.autotrain.judging import CommitteeSpectra, committee_spectra
from mimyria.autotrain.sections import OBSERVABLES, SpectraSettings
from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.errors import SettingsError
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.spectra import compute_spectra, lags_for_resolution
from mimyria.storage import Result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

__all__ = [
    "SPECTRUM",
    "committee_file",
    "read_committee",
    "require_length",
    "write_spectra",
]

SPECTRUM: Final = "spectrum.h5"
_CORRELATIONS: Final = {
    "ir": (3, DIPOLE_CORRELATION_UNIT),
    "raman": (6, POLARIZABILITY_CORRELATION_UNIT),
}


def committee_file(observable: str) -> str:
    """Name of the file with the spectra of the members."""
    return f"committee-{observable}.json"


def read_committee(folder: Path, observable: str) -> CommitteeSpectra:
    """The spectra of the members that a step has left."""
    path = folder / committee_file(observable)
    return CommitteeSpectra.from_dict(json.loads(path.read_text(encoding="utf-8")))


def write_spectra(
    folder: Path,
    evaluations: Sequence[Evaluation],
    settings: SpectraSettings,
    *,
    stride: int,
    interval: float,
    volume: float,
    temperature: float,
    trajectories: str,
    provenance: Mapping[str, str | int | float],
) -> list[Path]:
    """Write all spectra of a cycle; gives the files.

    Args:
        folder: of the step.
        evaluations: one for each trajectory.
        settings: window and resolution.
        stride: MD steps between two frames.
        interval: the same, fs.
        volume: Å³.
        temperature: K.
        trajectories: what names the set.
        provenance: for the result file.

    Raises:
        SettingsError: no trajectory is long enough for the resolution.
    """
    n_lags = lags_for_resolution(settings.window, settings.resolution, interval)
    written, correlations = [], {}
    for observable, target in OBSERVABLES.items():
        series = _series(evaluations, target, stride)
        if not series:
            continue
        require_length(max(part.shape[1] for part in series), interval, settings)
        spectra = committee_spectra(
            observable,
            series,
            interval,
            name=trajectories,
            resolution=settings.resolution,
            window=settings.window,
            low=settings.min_wavenumber,
            high=settings.max_wavenumber,
        )
        written.append(folder / committee_file(observable))
        replace_file(written[-1], json.dumps(spectra.as_dict()).encode())
        correlations[observable] = _correlation(observable, series, n_lags, interval)
    result = Result(
        correlations.get("ir"),
        correlations.get("raman"),
        compute_spectra(
            correlations.get("ir"),
            correlations.get("raman"),
            volume=volume,
            temperature=temperature,
            resolution=settings.resolution,
            window=settings.window,
            max_wavenumber=settings.max_wavenumber,
        ),
        volume,
        temperature,
        interval,
        {"mimyria": __version__, "window": settings.window, **provenance},
    )
    written.append(folder / SPECTRUM)
    write_result(written[-1], result)
    return written


def _series(evaluations: Sequence[Evaluation], target: str, stride: int) -> list[Array]:
    """(n_members, n_samples, n) — currents of each stretch without a gap."""
    found = []
    for each in evaluations:
        if target in each.currents:
            currents = each.currents[target].transpose(1, 0, 2)
            found += [
                np.ascontiguousarray(currents[:, part])
                for part in each.segments(stride)
            ]
    return found


def require_length(longest: int, interval: float, settings: SpectraSettings) -> None:
    """Refuse trajectories that are too short for the resolution.

    Args:
        longest: frames of the longest stretch without a gap.
        interval: time between two of them, fs.
        settings: window and resolution.

    Raises:
        SettingsError: says how long they must be.
    """
    n_lags = lags_for_resolution(settings.window, settings.resolution, interval)
    if longest <= n_lags:
        raise SettingsError(
            f"spectra.resolution = {settings.resolution:g} cm⁻¹ takes {n_lags} frames "
            f"without a gap ({n_lags * interval / 1000:.1f} ps), but the longest "
            f"stretch has {longest}. Give longer trajectories, or a wider resolution."
        )


def _correlation(
    observable: str, series: Sequence[Array], n_lags: int, interval: float
) -> Correlation:
    """Of the mean of the members, which is the model that is used."""
    n_channels, unit = _CORRELATIONS[observable]
    correlator = Correlator(n_channels, n_lags, interval, unit)
    for part in series:
        correlator.push(part.mean(axis=0))
        correlator.end_segment()
    return correlator.result()
