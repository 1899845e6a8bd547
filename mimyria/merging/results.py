"""The merged result: its correlations, and its spectra computed anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mimyria.correlation import Correlation
from mimyria.diagnostics import Diagnostic
from mimyria.errors import IncompatibleError
from mimyria.merging.correlations import merge_where_known, merged_velocities
from mimyria.merging.identity import check_identity
from mimyria.merging.parts import merged_parts
from mimyria.merging.states import RunSummary, mean_of, spread_notices, summary_of
from mimyria.merging.temperatures import compare_temperatures, measured_temperatures
from mimyria.spectra import compute_spectra, finest_resolution
from mimyria.spectra.elements import element_spectra
from mimyria.storage import Result

__all__ = ["Merged", "merge_results"]

_ADDED: Final = ("frames", "segments", "missing_frames")
_CORRELATIONS: Final = ("dipole", "polarizability")
_RESOLUTION: Final = 10.0
_WINDOW: Final = "gaussian"


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """What `merge_results` gives.

    Attributes:
        result: the merged result, its spectra computed anew.
        runs: what went in.
        notices: what the user should know.
    """

    result: Result
    runs: tuple[RunSummary, ...]
    notices: tuple[str, ...]


def merge_results(
    results: Sequence[Result],
    names: Sequence[str],
    *,
    resolution: float | None = None,
    window: str | None = None,
    temperature: float | None = None,
) -> Merged:
    """Pool runs of one system.

    Args:
        results: two or more, of the same atoms, models and interval.
        names: of the runs, for people.
        resolution: cm⁻¹; None: as stored, or coarser if the common lags need it.
        window: of the spectra; None: as stored.
        temperature: of the spectra, K; None: the mean of the runs.

    Raises:
        IncompatibleError: they do not belong together; the text says which and why.
    """
    if len(results) < 2:
        raise IncompatibleError("merging needs two results or more, but there is one.")
    notices: list[str] = []
    check_identity(results, names, notices)
    correlations = {
        name: merge_where_known(
            [getattr(r, name) for r in results], names, name, notices
        )
        for name in _CORRELATIONS
    }
    runs = tuple(summary_of(r, name) for r, name in zip(results, names, strict=True))
    if temperature is None:
        temperature = mean_of(runs, lambda run: run.temperature)
    volume = mean_of(runs, lambda run: run.volume)
    notices += spread_notices(runs)
    measured = compare_temperatures(measured_temperatures(results, names))
    if measured is not None and measured.verdict != "ok":
        said = measured.sentence.rstrip(".")
        notices.append(f"the runs may be of several temperatures ({said})")
    window = window or str(results[0].provenance.get("window", _WINDOW))
    chosen = _resolution(results, correlations, resolution, window, notices)
    spectra = compute_spectra(
        correlations["dipole"],
        correlations["polarizability"],
        volume=volume,
        temperature=temperature,
        resolution=chosen,
        window=window,
        max_wavenumber=_end(results),
    )
    velocities = merged_velocities(results, names, notices)
    if velocities is not None:
        spectra |= element_spectra(
            velocities,
            window=window,
            resolution=chosen,
            max_wavenumber=_end(results),
        )
    result = Result(
        dipole=correlations["dipole"],
        polarizability=correlations["polarizability"],
        spectra=spectra,
        volume=volume,
        temperature=temperature,
        interval=results[0].interval,
        provenance=_provenance(results, names, window),
        parts=merged_parts(results, names, correlations, notices),
        diagnostics=_diagnostics(results, names, measured),
        velocities=velocities,
    )
    return Merged(result, runs, tuple(notices))


def _resolution(
    results: Sequence[Result],
    correlations: dict[str, Correlation | None],
    wanted: float | None,
    window: str,
    notices: list[str],
) -> float:
    """The wanted resolution, or the finest one where that as stored is out of reach."""
    if wanted is not None:
        return wanted
    stored = [s.resolution for r in results for s in r.spectra.values()]
    chosen = max(stored, default=_RESOLUTION)
    there = [c for c in correlations.values() if c is not None]
    finest = max(finest_resolution(window, c.n_lags, c.interval) for c in there)
    if chosen < finest * (1 - 1e-9):
        notices.append(f"the common lags give a resolution of {finest:.3g} cm⁻¹ only")
        return finest
    return chosen


def _end(results: Sequence[Result]) -> float:
    ends = [float(s.wavenumbers[-1]) for r in results for s in r.spectra.values()]
    return max(ends, default=4500.0)


def _diagnostics(
    results: Sequence[Result], names: Sequence[str], measured: Diagnostic | None
) -> tuple[Diagnostic, ...]:
    """Those of every run, each with the name of its run, and that of all of them."""
    of_all = () if measured is None else (measured,)
    return of_all + tuple(
        replace(diagnostic, name=f"{name}: {diagnostic.name}")
        for name, result in zip(names, results, strict=True)
        for diagnostic in result.diagnostics
    )


def _provenance(
    results: Sequence[Result], names: Sequence[str], window: str
) -> dict[str, str | int | float]:
    """What all runs agree on, and the sums of what adds up."""
    first = results[0].provenance
    merged = {
        key: value
        for key, value in first.items()
        if all(result.provenance.get(key) == value for result in results)
    }
    for key in _ADDED:
        values = [result.provenance.get(key) for result in results]
        if all(isinstance(value, int) for value in values):
            merged[key] = sum(int(value or 0) for value in values)
    for key in ("last_step", "kinetic_temperature"):
        merged.pop(key, None)
    return merged | {
        "status": "merged",
        "window": window,
        "merged_from": ", ".join(names),
        "merged_runs": len(results),
    }
