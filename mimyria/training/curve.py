"""The learning curve: one row for each epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["CurveRow", "write_learning_curve"]


class CurveRow(NamedTuple):
    """One epoch.

    Attributes:
        epoch: its number, from 1.
        rate: learning rate of its last step.
        loss: mean over its steps; 1 is that of the best constant.
        validation: the same on the validation frames; None where it was not asked for.
    """

    epoch: int
    rate: float
    loss: float
    validation: float | None


def write_learning_curve(path: Path, curve: Sequence[CurveRow]) -> None:
    """Write a CSV file: names, units, one row for each epoch."""
    lines = ["epoch,learning_rate,loss,validation_loss", "1,1,1,1"]
    for row in curve:
        validation = "" if row.validation is None else f"{row.validation:.6e}"
        lines.append(f"{row.epoch},{row.rate:.6e},{row.loss:.6e},{validation}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
