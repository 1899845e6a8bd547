"""Pooling: one result from those of all replicas.

Sums of products and their numbers add up in the order of the replicas, as in `mimyria
merge`. With enough replicas each is one block of the errors, so that the scatter
between them is in the error, and not only that along each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import mimyria
from mimyria.diagnostics import Diagnostic, worst
from mimyria.errors import IncompatibleError
from mimyria.merging import (
    compare_temperatures,
    in_one_block,
    measured_temperatures,
    merge_results,
)
from mimyria.spectra.jackknife import LEAST_BLOCKS
from mimyria.storage import Result
from mimyria_driver.labels import label
from mimyria_driver.settings import SpectrumSettings

__all__ = ["RECORDS", "Pooled", "lean", "pool", "records_of"]

RECORDS: Final = "replica_records"
"""In the provenance: how many records of each journal are in the result."""
_ALIKE: Final = ("model_apt", "model_pgt")
_ADDED: Final = ("uncertain_frames",)

Pooled = tuple[Result, tuple[str, ...]]


def lean(result: Result, n_replicas: int) -> Result:
    """What is needed of the result of a replica that is one of so many.

    Spectra stay for their range alone; blocks, which take most of the memory, where
    replicas are too few to be blocks.
    """
    return in_one_block(result) if n_replicas >= LEAST_BLOCKS else result


def pool(
    results: Mapping[int, Result],
    settings: SpectrumSettings,
    provenance: Mapping[str, str | int | float],
) -> Pooled:
    """One result of all, and what the user should know of it.

    Args:
        results: of each replica that has one, at least one of them.
        settings: resolution, window, temperature of the spectra.
        provenance: what else the result says of itself.

    Raises:
        IncompatibleError: they are not of one system or temperature, or two are the
            same run.
    """
    numbers = sorted(results)
    alike = [_without_names(results[number]) for number in numbers]
    notices: tuple[str, ...] = ()
    if len(alike) == 1:
        pooled = alike[0]
    else:
        names = [f"replica {label(number)}" for number in numbers]
        temperatures = _require_one_temperature(alike, names)
        merged = merge_results(
            alike,
            names,
            resolution=settings.resolution,
            window=settings.window,
            temperature=settings.temperature,
        )
        pooled, notices = merged.result, merged.notices
        checks = _diagnostics(alike, numbers) + temperatures
        pooled = replace(pooled, diagnostics=checks)
    found = _provenance(pooled, [results[number] for number in numbers], numbers)
    return replace(pooled, provenance={**found, **provenance}), notices


def records_of(result: Result) -> dict[int, int]:
    """How many records of the journal of each replica are in a pooled result."""
    words = str(result.provenance.get(RECORDS, "")).split()
    pairs = (word.split(":") for word in words)
    return {int(number): int(n_records) for number, n_records in pairs}


def _require_one_temperature(
    results: Sequence[Result], names: Sequence[str]
) -> tuple[Diagnostic, ...]:
    """The check of the temperatures, if they are known, unless it is wrong."""
    found = compare_temperatures(measured_temperatures(results, names))
    if found is not None and found.verdict == "wrong":
        raise IncompatibleError(
            f"the replicas are not of one temperature ({found.sentence.rstrip('.')}). "
            "Each has its own result in its folder. Run a driver for each temperature, "
            "with its own run.directory and spectrum.temperature."
        )
    return () if found is None else (found,)


def _without_names(result: Result) -> Result:
    """Models by their digests alone: a journal does not know their names."""
    found = dict(result.provenance)
    for key in _ALIKE:
        if key in found:
            found[key] = str(found[key]).split()[-1]
    return replace(result, provenance=found)


def _provenance(
    pooled: Result, results: Sequence[Result], numbers: Sequence[int]
) -> dict[str, Any]:
    found = dict(pooled.provenance)
    records = [result.provenance.get("journal_records", 0) for result in results]
    for key in _ALIKE:
        named = [str(r.provenance[key]) for r in results if key in r.provenance]
        if named:
            found[key] = max(named, key=len)
    for key in _ADDED:
        found[key] = sum(int(r.provenance.get(key, 0)) for r in results)
    for key in ("journal_records", "merged_from", "last_step"):
        found.pop(key, None)
    pairs = zip(numbers, records, strict=True)
    return {
        **found,
        "mimyria": mimyria.__version__,
        RECORDS: " ".join(f"{number}:{n}" for number, n in pairs),
    }


def _diagnostics(
    results: Sequence[Result], numbers: Sequence[int]
) -> tuple[Diagnostic, ...]:
    """Of each number the mean over the replicas, and their worst verdict."""
    by_name: dict[str, list[tuple[int, int, Diagnostic]]] = {}
    for number, result in zip(numbers, results, strict=True):
        weight = int(result.provenance["frames"])
        for diagnostic in result.diagnostics:
            by_name.setdefault(diagnostic.name, []).append((number, weight, diagnostic))
    return tuple(_mean(found) for found in by_name.values())


def _mean(found: Sequence[tuple[int, int, Diagnostic]]) -> Diagnostic:
    """Weighted by frames; replicas are independent."""
    total = sum(weight for _, weight, _ in found)
    value, expected = (
        math.fsum(weight * getattr(d, name) for _, weight, d in found) / total
        for name in ("value", "expected")
    )
    error = math.sqrt(math.fsum((w * d.error) ** 2 for _, w, d in found)) / total
    verdict = worst([d for _, _, d in found])
    number, _, example = next(each for each in found if each[2].verdict == verdict)
    sentence = example.sentence
    if verdict != "ok":
        sentence = f"replica {label(number)} ({example.value:.4g}): {sentence}"
    return replace(
        example,
        value=value,
        expected=expected,
        error=error,
        verdict=verdict,
        sentence=sentence,
    )
