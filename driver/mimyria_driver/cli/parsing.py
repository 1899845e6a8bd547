"""What the commands that make a result share: options, and what they say of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mimyria_driver.pipeline import Pipeline

__all__ = ["add_result_options", "say_result"]


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Temperature and resolution of a result."""
    add = parser.add_argument
    add("--temperature", type=float, help="in K (default: the mean kinetic one)")
    add("--resolution", type=float, default=10.0, help="in cm^-1 (default: 10)")


def say_result(place: Path, pipeline: Pipeline) -> None:
    """How much a result holds."""
    print(
        f"{place}: {pipeline.n_frames} frames in {pipeline.n_segments} segment(s), "
        f"{pipeline.sampled_time:.2f} ps"
    )
