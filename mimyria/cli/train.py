"""`mimyria train`: a network from labelled frames, with a held-out test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimyria.errors import OutputError
from mimyria.targets import TARGET_SETS, targets_by_name

if TYPE_CHECKING:
    from mimyria.models import NetworkSettings
    from mimyria.training import TrainingSettings

__all__ = ["add_parser"]

_OPTIONS = (
    ("epochs", int, "passes over the training frames"),
    ("batch_size", int, "frames in one step"),
    ("peak_rate", float, "highest learning rate"),
    ("weight_decay", float, "weight decay of AdamW"),
    ("seed", int, "seed of everything random"),
    ("test_frames", int, "frames held out for testing"),
    ("checkpoint_every", int, "epochs between checkpoints"),
)


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on labelled frames",
        description="Train a network for one response tensor, or for both. The same "
        "data, settings and seed give the same weights; --resume goes on from a "
        "checkpoint.",
        epilog="example: mimyria train frames.extxyz --target apt --output apt.mimyria",
    )
    parser.add_argument("data", type=Path, help="extxyz with REF_apt or REF_pgt")
    parser.add_argument(
        "--target",
        choices=sorted(TARGET_SETS),
        required=True,
        help="joint: both tensors from one network",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="MODEL.mimyria")
    parser.add_argument(
        "--preset",
        choices=("compact", "reference"),
        default="compact",
        help="architecture (default: compact)",
    )
    parser.add_argument("--cutoff", type=float, metavar="ANGSTROM")
    for name, kind, text in _OPTIONS:
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=kind, metavar="N", help=text)
    parser.add_argument(
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="checkpoint and learning curve (default: OUTPUT with .work)",
    )
    parser.add_argument("--resume", action="store_true", help="go on from a checkpoint")
    parser.add_argument(
        "--cross-validate",
        action="store_true",
        help="train once more for each frame, left out and predicted",
    )
    parser.add_argument("--name", help="name of the model (default: that of the file)")
    parser.add_argument("--description", default="", help="one paragraph for the card")
    parser.add_argument(
        "--not-for",
        action="append",
        default=[],
        metavar="SENTENCE",
        help="what the model is not for (may be given again)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.data.dataset import read_dataset
    from mimyria.models import model_card
    from mimyria.training import ModelText, Training, cross_validate, finish

    network, settings = _settings(arguments)
    dataset = read_dataset(arguments.data, targets_by_name(arguments.target))
    parts = dataset.split(settings.test_frames, settings.seed)
    work_dir = _work_dir(arguments)
    training = Training(parts[0], dataset.species, network, settings)
    if arguments.resume:
        training.resume(work_dir)
    if not all(dataset.complete):
        print(f"{dataset.n_labelled} of {dataset.n_atoms} atoms have labels")
    print(
        f"{len(parts[0])} training frames, {len(parts[1])} test frames; "
        f"{sum(p.numel() for p in training.network.parameters())} parameters"
    )
    try:
        with _progress(settings.epochs, training.epoch, "training") as advance:
            training.run(work_dir, advance)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted at epoch {training.epoch} of {settings.epochs}; the same "
            f"command with --resume goes on from the last checkpoint in {work_dir}"
        ) from None
    validation: dict[str, Any] | None = None
    if arguments.cross_validate:
        folds = work_dir / "folds"
        folds.mkdir(exist_ok=True)
        with _progress(settings.epochs * len(dataset), 0, "leave one out") as advance:
            validation = cross_validate(dataset, network, settings, folds, advance)
    text = ModelText(
        arguments.name or arguments.output.stem,
        arguments.description,
        tuple(arguments.not_for),
    )
    metadata = finish(training, network, parts, text, arguments.output, validation)
    print(model_card(metadata))
    print(f"wrote {arguments.output}")
    return 0


def _settings(
    arguments: argparse.Namespace,
) -> tuple[NetworkSettings, TrainingSettings]:
    from mimyria.models import preset
    from mimyria.training import TrainingSettings

    network = preset(arguments.preset, arguments.target)
    if arguments.cutoff is not None:
        network = replace(network, cutoff=arguments.cutoff)
    given = {name: getattr(arguments, name) for name, _, _ in _OPTIONS}
    chosen = {name: value for name, value in given.items() if value is not None}
    return network, TrainingSettings(**chosen)


def _work_dir(arguments: argparse.Namespace) -> Path:
    output: Path = arguments.output
    folder: Path = arguments.work_dir or output.with_suffix(".work")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {folder}: {error}.") from error
    return folder


@contextmanager
def _progress(
    total: int, done: int, title: str
) -> Iterator[Callable[[int, float], None]]:
    """A progress bar; gives the function to call after each epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("loss {task.fields[loss]:.2e}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, loss=float("nan"))

        def advance(_epoch: int, loss: float) -> None:
            bar.update(task, advance=1, loss=loss)

        yield advance
