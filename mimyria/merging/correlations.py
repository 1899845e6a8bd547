"""Correlations of several runs, with what the user should know of their merging."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mimyria.correlation import Correlation
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import IncompatibleError
from mimyria.pooling import merge_correlations
from mimyria.storage import Result

__all__ = ["merge_where_known", "merged_velocities"]


def merge_where_known(
    found: Sequence[Correlation | None],
    names: Sequence[str],
    what: str,
    notices: list[str],
) -> Correlation | None:
    """The merged correlation; None where no run has it.

    Args:
        found: of each run.
        names: of the runs, for people.
        what: name of the correlation, for people.
        notices: takes what the user should know.

    Raises:
        IncompatibleError: only some have it, two are the same, or they do not fit.
    """
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


def merged_velocities(
    results: Sequence[Result], names: Sequence[str], notices: list[str]
) -> ElementVelocities | None:
    """Those of the elements; None where not every run has them.

    Raises:
        IncompatibleError: they are of other atoms.
    """
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
    merged = merge_where_known([v.correlation for v in there], names, "velocities", [])
    assert merged is not None
    n_probes = min(each.n_probes for each in there)
    return replace(first, n_probes=n_probes, correlation=merged)


def _composition(velocities: ElementVelocities) -> str:
    pairs = zip(velocities.n_atoms, velocities.names, strict=True)
    return ", ".join(f"{n_atoms} {name}" for n_atoms, name in pairs)
