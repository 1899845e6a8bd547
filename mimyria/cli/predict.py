"""`mimyria predict`: response tensors of the frames of a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mimyria.cli.parsing import Subparsers
from mimyria.errors import SettingsError

if TYPE_CHECKING:
    from mimyria.io import LabelledFrame
    from mimyria.models import TensorModel

__all__ = ["add_parser"]

# Frames evaluated as one graph: enough to use the machine, few enough for its memory.
_BATCH = 4


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "predict",
        help="predict tensors for the frames of a file",
        description="Predict APT and PGT for every frame of an extxyz file and write "
        "them, with the frames, to another. A committee adds what it knows of its "
        "errors (apt_epsilon, apt_excess, …) to the comment line of each frame.",
        epilog="example: mimyria predict water-compact-apt water-compact-pgt "
        "frames.extxyz --output predicted.extxyz",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="file or shipped model, one for each target or a joint one",
    )
    parser.add_argument("frames", type=Path, help="extxyz file")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu or cuda (default: auto)"
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.io import read_extxyz, write_extxyz
    from mimyria.models import load_model

    models = [load_model(name, arguments.device) for name in arguments.models]
    names = [name for model in models for name in model.metadata.target_names]
    if len(set(names)) < len(names):
        raise SettingsError(f"Give one model for each target, not {names}.")
    predicted = _predicted(models, read_extxyz(arguments.frames))
    write_extxyz(arguments.output, predicted, prefix="")
    print(f"wrote {' and '.join(names)} to {arguments.output}")
    return 0


def _predicted(
    models: Sequence[TensorModel], frames: Iterator[LabelledFrame]
) -> Iterator[LabelledFrame]:
    from mimyria.io import LabelledFrame
    from mimyria.tensors import joined

    while batch := list(islice(frames, _BATCH)):
        plain = [labelled.frame for labelled in batch]
        answers = [model.predict_uncertain(plain) for model in models]
        for labelled, parts in zip(batch, zip(*answers, strict=True), strict=True):
            known = {
                f"{name}_{key}": value
                for _, each in parts
                for name, uncertainty in each.items()
                for key, value in asdict(uncertainty).items()
            }
            tensors = joined(tensors for tensors, _ in parts)
            yield LabelledFrame(labelled.frame, tensors, {**labelled.info, **known})
