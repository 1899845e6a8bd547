"""Settings of the trainings of autotrain: a number of steps, not of epochs.

The data grow from cycle to cycle; a fixed number of steps keeps the cost of a cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimyria.settings.fields import choice, require, setting

__all__ = ["LearningSettings"]


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """How the committee is trained."""

    preset: str = setting("compact", "Architecture: compact (CPUs) or reference.")
    cutoff: float = setting(0.0, "Radius of the neighbourhood, Å; 0: of the preset.")
    members: int = setting(4, "Networks of the committee.")
    steps: int = setting(6000, "Steps of each network in the first cycle.")
    more_steps: int = setting(3000, "Steps in later cycles, from the last networks.")
    peak_rate: float = setting(0.01, "Highest learning rate in the first cycle.")
    more_rate: float = setting(0.005, "Highest learning rate in later cycles.")
    anew: bool = setting(
        False, "Begin every cycle at random, with `steps`, and not from the last one."
    )
    start: str = setting(
        "", "Committee to begin with: a model file of an earlier run; empty: random."
    )
    batch_size: int = setting(1, "Frames in one step.")
    weight_decay: float = setting(0.1, "Weight decay of AdamW.")
    spectral_loss: float = setting(
        0.0, "Part of the loss that weighs errors as spectra do, 0 to 1."
    )
    sum_rule: str = setting("report", "report, project or built in, as in models.md.")
    checkpoint_every: int = setting(25, "Epochs between checkpoints.")
    device: str = setting("auto", "auto, cpu or cuda.")

    def __post_init__(self) -> None:
        """Check values once."""
        choice("training.preset", self.preset, ("compact", "reference"))
        choice("training.sum_rule", self.sum_rule, ("report", "project", "built in"))
        require(self.members >= 2, "training.members", "2 or more", self.members)
        for name in ("steps", "more_steps", "batch_size", "checkpoint_every"):
            value = getattr(self, name)
            require(value >= 1, f"training.{name}", "1 or more", value)
        for name in ("peak_rate", "more_rate"):
            value = getattr(self, name)
            require(value > 0, f"training.{name}", "above 0", value)
        for name in ("cutoff", "weight_decay"):
            value = getattr(self, name)
            require(value >= 0, f"training.{name}", "0 or more", value)
        require(
            0 <= self.spectral_loss <= 1,
            "training.spectral_loss",
            "from 0 to 1",
            self.spectral_loss,
        )
