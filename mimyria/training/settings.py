"""Settings of a training: the optimiser and its schedule, not the architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mimyria.errors import SettingsError

__all__ = ["TrainingSettings", "learning_rate"]


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a network is trained.

    Attributes:
        epochs: passes over the training frames.
        batch_size: frames in one step.
        peak_rate: highest learning rate.
        warmup: part of all steps in which the learning rate rises.
        weight_decay: of AdamW; the main protection from fitting few data too closely.
        gradient_clip: largest norm of the gradient.
        averaging: decay of the running average of the weights, which is what is saved.
        seed: of initial weights, test frames and order of the training frames.
        test_frames: frames held out for testing.
        checkpoint_every: epochs between checkpoints.
    """

    epochs: int = 300
    batch_size: int = 1
    peak_rate: float = 0.01
    warmup: float = 0.05
    weight_decay: float = 0.1
    gradient_clip: float = 10.0
    averaging: float = 0.99
    seed: int = 1
    test_frames: int = 1
    checkpoint_every: int = 25

    def __post_init__(self) -> None:
        """Check values once."""
        for name in (
            "epochs",
            "batch_size",
            "peak_rate",
            "gradient_clip",
            "checkpoint_every",
        ):
            if not getattr(self, name) > 0:
                raise SettingsError(
                    f"{name} must be positive, but is {getattr(self, name)}."
                )
        for name in ("weight_decay", "test_frames", "seed"):
            if not getattr(self, name) >= 0:
                raise SettingsError(
                    f"{name} must not be negative, but is {getattr(self, name)}."
                )
        for name in ("warmup", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0 and less than 1, but is "
                    f"{getattr(self, name)}."
                )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Inverse of `as_dict`.

        Raises:
            SettingsError: a key is unknown.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise SettingsError(
                f"Unknown training settings {unknown}; known are {sorted(known)}."
            )
        return cls(**values)


def learning_rate(settings: TrainingSettings, step: int, n_steps: int) -> float:
    """Learning rate of one step: linear rise, then half a cosine down to zero.

    A pure function of the step, so that a resumed training needs no state for it.
    """
    progress = step / n_steps
    rise = min(1.0, (step + 1) / (settings.warmup * n_steps + 1))
    return settings.peak_rate * rise * 0.5 * (1 + math.cos(math.pi * progress))
