"""Several networks asked about the same frames: where do they disagree?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np
from ase.data import atomic_masses

from mimyria.errors import ModelError
from mimyria.frame import Array, Frame
from mimyria.models.model import TensorModel, load_model
from mimyria.reference.selection import committee_score
from mimyria.targets import columns_of

__all__ = ["committee_scores"]

_BATCH: Final = 8


def committee_scores(
    models: Sequence[str],
    frames: Iterable[Frame],
    device: str = "auto",
    target: str | None = None,
) -> list[float]:
    """Disagreement on each frame, as the spectrum would feel it.

    Args:
        models: files or names of models with the same targets: a committee, or several
            single networks, or both.
        frames: the frames, read once.
        device: `auto`, `cpu` or `cuda`.
        target: `apt` or `pgt`; may be left out where the models have one target.

    Raises:
        ModelError: there are fewer than two networks, or it is not clear what they
            should be asked.
    """
    loaded = [load_model(name, device) for name in models]
    columns = _columns(loaded, target)
    scores: list[float] = []
    remaining = iter(frames)
    while batch := list(islice(remaining, _BATCH)):
        answers = [model.predict_members(batch) for model in loaded]
        for parts, frame in zip(zip(*answers, strict=True), batch, strict=True):
            members: Array = np.concatenate(parts)[:, :, columns]
            scores.append(committee_score(list(members), atomic_masses[frame.numbers]))
    return scores


def _columns(models: Sequence[TensorModel], target: str | None) -> slice:
    """Where the wanted target stands in what each of the networks gives."""
    kinds = {model.metadata.target_names for model in models}
    count = sum(model.metadata.members for model in models)
    names = next(iter(kinds), ())
    wanted = target or (names[0] if len(names) == 1 else None)
    if count < 2 or len(kinds) > 1 or wanted not in names:
        found = ", ".join(sorted("+".join(each) for each in kinds))
        raise ModelError(
            f"disagreement needs at least two networks of one target, not {count} of "
            f"{found or 'none'}."
        )
    return columns_of(models[0].targets)[wanted]
