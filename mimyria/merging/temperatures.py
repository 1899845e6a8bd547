"""Temperatures: whether runs that are merged can be of one temperature.

Compared is what was measured, the mean kinetic temperatures, whatever temperature the
settings give. Runs without a thermostat keep the energies that they began with, so they
differ by more than their statistical errors, for ever; but never by more than single
frames of the canonical ensemble do. So there are two limits: of the errors, beyond
which a user should look, and of the ensemble, beyond which it is not one temperature.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from mimyria.diagnostics import Diagnostic
from mimyria.storage import Result

__all__ = ["Measured", "compare_temperatures", "measured_temperatures"]

_NAME: Final = "temperature of the runs"
_OF_SPECIES: Final = "temperature "
_CHANCE: Final = 1e-4
"""That single frames of one ensemble differ so; runs, which are means, never do."""
_LOOK: Final = 6.0
"""Errors of a difference: equal runs span 2.5 of them if they are 16, 4.6 if 1000."""
_SAME: Final = 0.03


@dataclass(frozen=True, slots=True)
class Measured:
    """The temperature that a run has had.

    Attributes:
        name: of the run, for people.
        temperature: mean kinetic one, K.
        error: its standard error, K; NaN if it is not known.
        freedom: number of velocities that are free, 3 N − 3.
    """

    name: str
    temperature: float
    error: float
    freedom: int


def measured_temperatures(
    results: Sequence[Result], names: Sequence[str]
) -> tuple[Measured, ...]:
    """Those of the runs that say it; files of merged runs do not."""
    found = []
    for name, result in zip(names, results, strict=True):
        temperature = float(result.provenance.get("kinetic_temperature", math.nan))
        n_atoms = int(result.provenance.get("atoms", 0))
        if math.isfinite(temperature) and n_atoms > 1:
            error = temperature * _relative_error(result.diagnostics)
            found.append(Measured(name, temperature, error, 3 * n_atoms - 3))
    return tuple(found)


def compare_temperatures(runs: Sequence[Measured]) -> Diagnostic | None:
    """Largest difference, and whether it is that of one temperature.

    Source: docs/theory.md, eq. (110).

    Args:
        runs: of one system.

    Returns:
        Its verdict is "wrong" if no ensemble of one temperature has such runs; None:
        there are not two runs to compare.
    """
    if len(runs) < 2:
        return None
    known = [run for run in runs if math.isfinite(run.error)]
    compared = known if len(known) > 1 else runs
    hot = max(compared, key=lambda run: run.temperature)
    cold = min(compared, key=lambda run: run.temperature)
    difference = hot.temperature - cold.temperature
    error = math.hypot(hot.error, cold.error)
    verdict = "ok"
    if not _within_ensemble(runs):
        verdict = "wrong"
    elif difference > max(_LOOK * error, _SAME * hot.temperature):
        verdict = "look"
    sentence = _sentence(verdict, hot, cold)
    return Diagnostic(_NAME, difference, 0.0, error, verdict, sentence)


def _relative_error(diagnostics: Sequence[Diagnostic]) -> float:
    """Of the mean over the species, at most the largest of theirs."""
    errors = [
        each.error / each.value
        for each in diagnostics
        if each.name.startswith(_OF_SPECIES) and each.value > 0
    ]
    return max(errors, default=math.nan)


def _within_ensemble(runs: Sequence[Measured]) -> bool:
    """Whether the runs scatter no more than single frames of one temperature.

    Cube roots, since those of a kinetic energy are nearly normal for any freedom.
    """
    roots = np.cbrt([run.temperature for run in runs])
    mean = float(roots.mean())
    scatter = 2.0 * mean**2 / (9.0 * runs[0].freedom)
    found = float(np.sum((roots - mean) ** 2))
    return found <= scatter * float(stats.chi2.isf(_CHANCE, len(runs) - 1))


def _sentence(verdict: str, hot: Measured, cold: Measured) -> str:
    if verdict == "ok":
        return "the runs may be of one temperature."
    both = (
        f"{hot.name} has had {hot.temperature:.4g} K and {cold.name} "
        f"{cold.temperature:.4g} K"
    )
    usual = math.sqrt(2.0 / hot.freedom)
    if verdict == "look":
        return (
            f"{both}, more than their statistical errors: sound only for runs without "
            f"a thermostat that began at one temperature, which scatter by {usual:.1%} "
            "at most; a spectrum of several temperatures is none."
        )
    return (
        f"{both}, more than runs of one temperature can differ (single frames of this "
        f"size scatter by {usual:.1%}): a spectrum of several temperatures is none."
    )
