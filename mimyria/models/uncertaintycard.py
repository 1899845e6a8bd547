"""What a model card says of the uncertainty of a committee, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mimyria.models.markdown import table
from mimyria.models.metadata import ModelMetadata

__all__ = ["uncertainty_section"]

_ENOUGH_FRAMES: Final = 5
"""Held-out frames from which the error of a factor can be told."""


def uncertainty_section(metadata: ModelMetadata) -> str:
    """The section as Markdown; empty for single networks."""
    if not metadata.uncertainty:
        return ""
    lines = [
        "## Uncertainty",
        "",
        "What is expected of the error is the disagreement of the networks times a "
        "factor from the held-out frames (docs/theory.md, eq. (96)).",
        "",
        table(
            (
                "target",
                "held-out frames",
                "factor",
                "by element",
                "within twice that",
                "rank correlation",
            ),
            [
                (name, str(found["frames"]), *_factors(found))
                for name, found in metadata.uncertainty.items()
            ],
        ),
    ]
    frames = min(found["frames"] for found in metadata.uncertainty.values())
    if frames < _ENOUGH_FRAMES:
        lines += [
            "",
            f"**{frames} held-out frame(s) are few**: errors of atoms of one frame are "
            "not independent, so the factor is not well known, nor is its error. Hold "
            f"out {_ENOUGH_FRAMES} or more (`--test-frames`).",
        ]
    return "\n".join([*lines, *_scores(metadata)])


def _scores(metadata: ModelMetadata) -> list[str]:
    rows = [
        (name, title, *(f"{scores[key]:.2f}" for key in ("median", "p90", "largest")))
        for name, found in metadata.uncertainty.items()
        for part, title in (("train", "training"), ("test", "held out"))
        for scores in [found.get("scores", {}).get(part)]
        if scores
    ]
    if not rows:
        return []
    return [
        "",
        "How strange a known frame is: its largest disagreement about an atom, in "
        "units of the largest for that element (eq. (97)).",
        "",
        table(("target", "frames", "median", "90 %", "largest"), rows),
    ]


def _factors(found: Mapping[str, Any]) -> tuple[str, ...]:
    if found["factor"] is None:
        return ("1, not calibrated", "", "", "")
    elements = ", ".join(
        f"{name} {each:.2f}" for name, each in found["elements"].items()
    )
    # Committees of the first version lack these two.
    correlation, error = found.get("correlation"), found.get("factor_error")
    return (
        f"{found['factor']:.2f}" + ("" if error is None else f" ± {error:.2f}"),
        elements,
        f"{100 * found['within']:.0f} % of atoms",
        "" if correlation is None else f"{correlation:.2f}",
    )
