"""Parts of several runs, whose groups must mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from mimyria.correlation import Correlation
from mimyria.errors import IncompatibleError
from mimyria.groupdifferences import group_difference
from mimyria.groups import Grouping
from mimyria.merging.correlations import merge_where_known
from mimyria.parts import Parts
from mimyria.selfcorrelators import with_rest
from mimyria.storage import Result

__all__ = ["merged_parts"]


def merged_parts(
    results: Sequence[Result],
    names: Sequence[str],
    correlations: dict[str, Correlation | None],
    notices: list[str],
) -> Parts | None:
    """Parts of all runs; None where not every run has them.

    Args:
        results: of the runs.
        names: of the runs, for people.
        correlations: the merged ones of the whole.
        notices: takes what the user should know.

    Raises:
        IncompatibleError: the groups are others.
    """
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
        merge_where_known([getattr(p, kind) for p in there], names, f"parts/{kind}", [])
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
