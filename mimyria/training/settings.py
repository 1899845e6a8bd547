"""Settings of a training: the optimiser and its schedule, not the architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mimyria.errors import SettingsError
from mimyria.models.metadata import DTYPES

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
        seed: of initial weights and of the order of the training frames.
        split_seed: of what is held out; `seed` if left out.
        test_frames: frames held out for testing; they decide nothing.
        checkpoint_every: epochs between checkpoints.
        train_frames: frames to train on, drawn from those that are not held out, for
            learning curves: more frames contain those of fewer; 0: all.
        validation_frames: frames held out to find the best epoch; 0: the last epoch is
            taken.
        validate_every: epochs between validations.
        patience: epochs without a better validation after which the training ends; 0:
            never.
        dtype: arithmetic of the network, "float32" or "float64".
        spectral_loss: part of the loss that weighs errors as the spectrum does, from 0
            to 1 (docs/theory.md, eq. (94)).
    """

    epochs: int = 300
    batch_size: int = 1
    peak_rate: float = 0.01
    warmup: float = 0.05
    weight_decay: float = 0.1
    gradient_clip: float = 10.0
    averaging: float = 0.99
    seed: int = 1
    split_seed: int | None = None
    test_frames: int = 1
    train_frames: int = 0
    checkpoint_every: int = 25
    validation_frames: int = 0
    validate_every: int = 5
    patience: int = 0
    dtype: str = "float32"
    spectral_loss: float = 0.0

    def __post_init__(self) -> None:
        """Check values once."""
        for name in (
            "epochs",
            "batch_size",
            "peak_rate",
            "gradient_clip",
            "checkpoint_every",
            "validate_every",
        ):
            if not getattr(self, name) > 0:
                raise SettingsError(
                    f"{name} must be positive, but is {getattr(self, name)}."
                )
        for name in (
            "weight_decay",
            "test_frames",
            "train_frames",
            "seed",
            "split_seed",
            "validation_frames",
            "patience",
        ):
            if not (getattr(self, name) or 0) >= 0:
                raise SettingsError(
                    f"{name} must not be negative, but is {getattr(self, name)}."
                )
        for name in ("warmup", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"{name} must be at least 0 and less than 1, but is "
                    f"{getattr(self, name)}."
                )

        if self.dtype not in DTYPES:
            raise SettingsError(
                f"dtype must be one of {list(DTYPES)}, but is '{self.dtype}'."
            )
        if not 0 <= self.spectral_loss <= 1:
            raise SettingsError(
                f"spectral_loss must be from 0 to 1, but is {self.spectral_loss}."
            )
        if self.patience and not self.validation_frames:
            raise SettingsError(
                "patience needs frames to validate with: set validation_frames, too."
            )

    @property
    def seed_of_split(self) -> int:
        """Seed of what is held out."""
        return self.seed if self.split_seed is None else self.split_seed

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
