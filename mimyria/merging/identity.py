"""Identity: whether runs are of one system and of the same models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mimyria.errors import IncompatibleError
from mimyria.pooling import check_interval
from mimyria.storage import Result

__all__ = ["check_identity"]

_IDENTITY: Final = ("atoms", "model_apt", "model_pgt")


def check_identity(
    results: Sequence[Result], names: Sequence[str], notices: list[str]
) -> None:
    """Refuse runs of other atoms, models, intervals or beads.

    Raises:
        IncompatibleError: with the names of the two, and what differs.
    """
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
