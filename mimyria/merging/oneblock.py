"""One block: a whole run as a single block of the errors of what is merged."""

from __future__ import annotations

from dataclasses import replace

from mimyria.correlation import Correlation
from mimyria.parts import Parts
from mimyria.pooling import as_one_block
from mimyria.storage import Result

__all__ = ["in_one_block"]


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
