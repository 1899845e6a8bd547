"""Several models of one target asked about the same frames: where do they disagree?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from ase.data import atomic_masses

from mimyria.errors import ModelError
from mimyria.frame import Frame
from mimyria.models.model import load_model
from mimyria.reference.selection import committee_score

__all__ = ["committee_scores"]

_BATCH: Final = 8


def committee_scores(
    models: Sequence[str], frames: Iterable[Frame], device: str = "auto"
) -> list[float]:
    """Disagreement on each frame, as the spectrum would feel it.

    Args:
        models: files or names of models, at least two of one target.
        frames: the frames, read once.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ModelError: there are fewer than two models, or they have different targets.
    """
    loaded = [load_model(name, device) for name in models]
    kinds = {model.metadata.target_names for model in loaded}
    if len(loaded) < 2 or len(kinds) > 1 or len(loaded[0].targets) > 1:
        found = ", ".join(sorted("+".join(names) for names in kinds))
        raise ModelError(
            "disagreement needs at least two models of one target, not "
            f"{len(loaded)} of {found or 'none'}."
        )
    (target,) = loaded[0].targets
    scores: list[float] = []
    remaining = iter(frames)
    while batch := list(islice(remaining, _BATCH)):
        answers = [
            [getattr(tensors, target.name) for tensors in model.predict(batch)]
            for model in loaded
        ]
        for predictions, frame in zip(zip(*answers, strict=True), batch, strict=True):
            scores.append(committee_score(predictions, atomic_masses[frame.numbers]))
    return scores
