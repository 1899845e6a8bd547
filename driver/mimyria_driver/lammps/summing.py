"""Summing: what the ranks' own networks say, from bytes to the sums of the system.

Each rank sends, as float64, how unsure its networks are of an atom (`excess`) and then
the rows of `mimyria.domainsums`, one for each atom type. This module knows these bytes
and the card of a run, and no socket.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mimyria.domainsums import WIDTH, DomainSums
from mimyria.errors import FrameError
from mimyria.frame import Array
from mimyria_driver.runcard import RunCard
from mimyria_driver.sources import EngineModels, Summed

__all__ = ["engine_models", "joined_sums", "pack_sums"]

_SAME_MASS = 1e-9


def pack_sums(sums: DomainSums, excess: float) -> bytes:
    """What one rank sends."""
    return np.concatenate([[excess], sums.rows.ravel()]).astype("<f8").tobytes()


def joined_sums(raws: Sequence[bytes], n_kinds: int, step: int) -> Summed:
    """The sums of all ranks.

    Args:
        raws: what each rank sent.
        n_kinds: atom types of the run.
        step: of the frame.

    Raises:
        FrameError: a rank sent something else.
    """
    wanted = 8 * (1 + n_kinds * WIDTH)
    for rank, raw in enumerate(raws):
        if len(raw) != wanted:
            raise FrameError(
                f"step {step}: the sums of rank {rank} must have {wanted} bytes for "
                f"{n_kinds} atom types, but have {len(raw)}. Hook and driver must be "
                "of the same mimyria."
            )
    numbers = np.stack([np.frombuffer(raw, "<f8") for raw in raws])
    rows = numbers[:, 1:].sum(axis=0).reshape(n_kinds, WIDTH)
    return Summed(DomainSums(rows), float(numbers[:, 0].max()))


def engine_models(
    card: RunCard, types: NDArray[np.generic], masses: Array
) -> EngineModels | None:
    """The networks that the ranks ask themselves; None where the driver has them.

    Args:
        card: of the run.
        types: (n_atoms,) — from 1.
        masses: (n_atoms,) amu.

    Raises:
        FrameError: atoms of one type differ in mass.
    """
    if card.models is None:
        return None
    kinds = types.astype(np.int64) - 1
    mass = np.ones(len(card.elements))
    for kind in np.unique(kinds):
        mine = masses[kinds == kind]
        if np.ptp(mine) > _SAME_MASS * mine[0]:
            raise FrameError(
                f"Ranks that ask networks add up by atom type, but atoms of type "
                f"{kind + 1} have masses from {mine.min():g} to {mine.max():g}. Give "
                "each mass a type of its own."
            )
        mass[kind] = mine[0]
    shares = {
        target: None if model["shares"] is None else np.array(model["shares"])
        for target, model in card.models.items()
    }
    digests = {target: str(model["sha256"]) for target, model in card.models.items()}
    symbols = tuple("H" if each == "D" else each for each in card.elements)
    return EngineModels(digests, shares, symbols, mass)
