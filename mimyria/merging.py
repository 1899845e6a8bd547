"""Merging: one result from several runs of the same system.

Sums of products and numbers of products add up, so that every pair of samples of every
run counts once and a long run weighs more than a short one. Time between two runs is
unknown: the result is that of one run with a border of segments between the two, to
rounding: stored are means, and mean times count is the sum to one part in 10¹⁶. A run
that was continued in its own folder is not merged but goes on, to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mimyria.correlation import Correlation
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import IncompatibleError
from mimyria.groupdifferences import group_difference
from mimyria.groups import Grouping
from mimyria.parts import Parts
from mimyria.pooling import as_one_block, check_interval, merge_correlations
from mimyria.selfcorrelators import with_rest
from mimyria.spectra import compute_spectra, finest_resolution
from mimyria.spectra.elements import element_spectra
from mimyria.storage import Result

__all__ = [
    "Merged",
    "RunSummary",
    "in_one_block",
    "merge_correlations",
    "merge_results",
]

_SAME_VOLUME: Final = 0.01
_SAME_TEMPERATURE: Final = 0.03
_IDENTITY: Final = ("atoms", "model_apt", "model_pgt")
_ADDED: Final = ("frames", "segments", "missing_frames")
_CORRELATIONS: Final = ("dipole", "polarizability")
_RESOLUTION: Final = 10.0
_WINDOW: Final = "gaussian"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One of the runs that were merged.

    Attributes:
        name: such as the path of its file.
        n_samples: samples; the weight in all means.
        length: simulated time, ps.
        temperature: K.
        volume: Å³.
    """

    name: str
    n_samples: int
    length: float
    temperature: float
    volume: float


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
    _check_identity(results, names, notices)
    correlations = {
        name: _merge_optional([getattr(r, name) for r in results], names, name, notices)
        for name in _CORRELATIONS
    }
    runs = tuple(_summary(r, name) for r, name in zip(results, names, strict=True))
    if temperature is None:
        temperature = _mean(runs, lambda run: run.temperature)
    volume = _mean(runs, lambda run: run.volume)
    notices += _spread_notices(runs)
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
    velocities = _merge_velocities(results, names, notices)
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
        parts=_merged_parts(results, names, correlations, notices),
        diagnostics=_diagnostics(results, names),
        velocities=velocities,
    )
    return Merged(result, runs, tuple(notices))


def in_one_block(result: Result) -> Result:
    """A result all correlations of which are one block, to be merged with others.

    The errors of what is merged then come from the scatter between the runs.
    """
    parts, velocities = result.parts, result.velocities
    return replace(
        result,
        dipole=_one_block(result.dipole),
        polarizability=_one_block(result.polarizability),
        parts=None if parts is None else _parts_in_one_block(parts),
        velocities=None
        if velocities is None
        else replace(velocities, correlation=as_one_block(velocities.correlation)),
    )


def _parts_in_one_block(parts: Parts) -> Parts:
    return replace(
        parts,
        dipole=_one_block(parts.dipole),
        isotropic=_one_block(parts.isotropic),
        anisotropic=_one_block(parts.anisotropic),
        shares=None if parts.shares is None else _parts_in_one_block(parts.shares),
    )


def _one_block(correlation: Correlation | None) -> Correlation | None:
    """One that keeps no blocks, since its pairs are too many, is left so."""
    if correlation is None or correlation.blocks is None:
        return correlation
    return as_one_block(correlation)


def _merge_optional(
    found: Sequence[Correlation | None],
    names: Sequence[str],
    what: str,
    notices: list[str],
) -> Correlation | None:
    there = [each for each in found if each is not None]
    if not there:
        return None
    if len(there) < len(found):
        absent = [n for n, each in zip(names, found, strict=True) if each is None]
        raise IncompatibleError(
            f"{', '.join(absent)} has no {what} correlation, but the others have. "
            "Merge results of the same models only."
        )
    shortest = min(each.n_lags for each in there)
    if any(each.n_lags != shortest for each in there):
        notices.append(
            f"{what}: cut to the {shortest} lags that all runs have "
            f"({(shortest - 1) * there[0].interval:g} fs)"
        )
    with_means = [each.trajectories is not None for each in there]
    if any(with_means) and not all(with_means):
        notices.append(
            f"{what}: not every file holds the means of its trajectories: --compat "
            "cannot remove them from the merged result"
        )
    for (name, one), (other, two) in itertools.combinations(
        zip(names, there, strict=True), 2
    ):
        if one.n_samples == two.n_samples and np.array_equal(one.values, two.values):
            raise IncompatibleError(
                f"{name} and {other} hold the very same {what} correlation: it would "
                "count twice. Give every run once."
            )
    return merge_correlations(there)


def _merged_parts(
    results: Sequence[Result],
    names: Sequence[str],
    correlations: dict[str, Correlation | None],
    notices: list[str],
) -> Parts | None:
    there = [result.parts for result in results if result.parts is not None]
    if there and len(there) < len(results):
        notices.append("parts are left out: not every run has them")
        return None
    if not there:
        return None
    parts = _merge_parts(there, names, notices)
    if parts.n_self:
        # Self terms count other pairs than the whole, of which the rest must be left.
        parts = with_rest(parts, **correlations)
    return parts


def _merge_parts(
    there: Sequence[Parts], names: Sequence[str], notices: list[str]
) -> Parts:
    for name, parts in zip(names, there, strict=True):
        if parts.names != there[0].names:
            raise IncompatibleError(
                f"the groups of {name} are {', '.join(parts.names)}, but those of "
                f"{names[0]} are {', '.join(there[0].names)}. Choose the same groups "
                "for every run."
            )
    grouping = _same_grouping(there, names, notices)
    dipole, isotropic, anisotropic = (
        _merge_optional([getattr(p, kind) for p in there], names, f"parts/{kind}", [])
        for kind in ("dipole", "isotropic", "anisotropic")
    )
    shares = [parts.shares for parts in there if parts.shares is not None]
    return Parts(
        there[0].names,
        dipole,
        isotropic,
        anisotropic,
        max(parts.reliable_from for parts in there),
        grouping,
        min(parts.n_self for parts in there),
        _merge_parts(shares, names, []) if len(shares) == len(there) else None,
    )


def _same_grouping(
    parts: Sequence[Parts], names: Sequence[str], notices: list[str]
) -> Grouping | None:
    """What the groups of all runs are; None where a file does not say.

    Raises:
        IncompatibleError: the same names mean other groups.
    """
    known = [
        (name, each.grouping)
        for name, each in zip(names, parts, strict=True)
        if each.grouping is not None
    ]
    for name, grouping in known[1:]:
        difference = group_difference(known[0][1], grouping)
        if difference is not None:
            raise IncompatibleError(
                f"the groups of {known[0][0]} and {name} have the same names, but "
                f"differ: {difference}. Choose the same groups for every run."
            )
    if len(known) < len(parts):
        notices.append(
            "not every file says how its groups are defined (older versions did not): "
            "only their names are checked"
        )
        return None
    return known[0][1]


def _merge_velocities(
    results: Sequence[Result], names: Sequence[str], notices: list[str]
) -> ElementVelocities | None:
    there = [result.velocities for result in results if result.velocities is not None]
    if not there:
        return None
    if len(there) < len(results):
        notices.append("velocity spectra are left out: not every run has them")
        return None
    first = there[0]
    for name, other in zip(names, there, strict=True):
        if (other.names, other.n_atoms) != (first.names, first.n_atoms):
            raise IncompatibleError(
                f"the velocities of {name} are those of {_composition(other)}, but of "
                f"{names[0]} those of {_composition(first)}. Only runs of the same "
                "atoms can be merged."
            )
    merged = _merge_optional([v.correlation for v in there], names, "velocities", [])
    assert merged is not None
    n_probes = min(each.n_probes for each in there)
    return replace(first, n_probes=n_probes, correlation=merged)


def _composition(velocities: ElementVelocities) -> str:
    pairs = zip(velocities.n_atoms, velocities.names, strict=True)
    return ", ".join(f"{n_atoms} {name}" for n_atoms, name in pairs)


def _check_identity(
    results: Sequence[Result], names: Sequence[str], notices: list[str]
) -> None:
    first = results[0]
    for name, other in zip(names[1:], results[1:], strict=True):
        check_interval(first.interval, other.interval, f"{names[0]} and {name}")
        for key in _IDENTITY:
            one, two = first.provenance.get(key), other.provenance.get(key)
            if one != two and None not in (one, two):
                raise IncompatibleError(
                    f"{names[0]} and {name} do not belong together: {key} is {one} and "
                    f"{two}. Only runs of the same atoms and models can be merged."
                )
        beads = [each.provenance.get("beads", 0) for each in (first, other)]
        if beads[0] != beads[1]:
            raise IncompatibleError(
                f"{names[0]} and {name} do not belong together: the one is a mean over "
                f"{beads[0]} beads of ring polymers, the other over {beads[1]} (0: "
                "no beads, or the centroid)."
            )
    for key in ("atoms",):
        if any(key not in result.provenance for result in results):
            notices.append(f"not every file says its {key}: that is not checked")


def _summary(result: Result, name: str) -> RunSummary:
    n_samples = max(
        c.n_samples for c in (result.dipole, result.polarizability) if c is not None
    )
    length = n_samples * result.interval * 1e-3
    return RunSummary(name, n_samples, length, result.temperature, result.volume)


def _mean(runs: Sequence[RunSummary], of: Callable[[RunSummary], float]) -> float:
    """Mean over the runs, each as often as it has samples."""
    total = sum(run.n_samples for run in runs)
    return math.fsum(of(run) * run.n_samples for run in runs) / max(total, 1)


def _spread_notices(runs: Sequence[RunSummary]) -> list[str]:
    notices = []
    for what, limit in (("temperature", _SAME_TEMPERATURE), ("volume", _SAME_VOLUME)):
        values = [getattr(run, what) for run in runs]
        if max(values) - min(values) > limit * max(values):
            notices.append(
                f"the runs differ in {what} by more than {limit:.0%} "
                f"({min(values):g} to {max(values):g}): is it one state?"
            )
    return notices


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
    results: Sequence[Result], names: Sequence[str]
) -> tuple[Diagnostic, ...]:
    """Those of every run, each with the name of its run."""
    return tuple(
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
