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
    from mimyria.data.dataset import TensorDataset
    from mimyria.models import NetworkSettings
    from mimyria.training import Training, TrainingSettings, Workers

__all__ = ["add_parser"]

DTYPES = ("float32", "float64")

_OPTIONS = (
    ("epochs", int, "passes over the training frames"),
    ("batch_size", int, "frames in one step"),
    ("peak_rate", float, "highest learning rate"),
    ("weight_decay", float, "weight decay of AdamW"),
    ("seed", int, "seed of everything random"),
    ("test_frames", int, "frames held out for testing"),
    ("validation_frames", int, "frames held out to find the best epoch"),
    ("validate_every", int, "epochs between validations"),
    ("patience", int, "end after so many epochs without a better validation"),
    ("spectral_loss", float, "part of the loss that weighs errors as spectra do, 0-1"),
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
        epilog="example: mimyria train frames.extxyz --target apt --output apt.mimyria "
        "(on four GPUs: torchrun --nproc-per-node 4 -m mimyria train …)",
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
    parser.add_argument(
        "--sum-rule",
        choices=("report", "project", "built in"),
        default="report",
        help="acoustic sum rules: report how far they are broken, project predictions "
        "so that they hold, or learn with them built in (default: report)",
    )
    parser.add_argument("--dtype", choices=DTYPES, help="arithmetic of the network")
    parser.add_argument(
        "--device", default="auto", help="auto, cpu or cuda (default: auto)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="always",
        choices=("always", "auto"),
        help="go on from a checkpoint; auto: if there is one",
    )
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
    from mimyria.training import workers

    with workers() as group:
        return _train(arguments, group)


def _train(arguments: argparse.Namespace, group: Workers) -> int:
    from mimyria.data.dataset import read_dataset
    from mimyria.models import resolve_device
    from mimyria.training import Training, split_frames

    network, settings = _settings(arguments)
    dataset = read_dataset(arguments.data, targets_by_name(arguments.target))
    train, validation, test = split_frames(dataset, settings)
    work_dir = _work_dir(arguments)
    device = resolve_device(arguments.device)
    training = Training(
        train, dataset.species, network, settings, validation, device, group
    )
    if _resumes(arguments, work_dir):
        training.resume(work_dir)
    if group.is_first:
        _announce(dataset, (train, validation, test), training)
    try:
        with _progress(
            settings.epochs, training.epoch, "training", shown=group.is_first
        ) as advance:
            training.run(work_dir, advance)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted at epoch {training.epoch} of {settings.epochs}; the same "
            f"command with --resume goes on from the last checkpoint in {work_dir}"
        ) from None
    if group.is_first:
        _finish(arguments, dataset, training, network, (train, test), work_dir)
    return 0


def _resumes(arguments: argparse.Namespace, work_dir: Path) -> bool:
    from mimyria.training.loop import CHECKPOINT

    if arguments.resume == "auto":
        return (work_dir / CHECKPOINT).exists()
    return arguments.resume is not None


def _announce(
    dataset: TensorDataset, parts: tuple[TensorDataset, ...], training: Training
) -> None:
    if not all(dataset.complete):
        print(f"{dataset.n_labelled} of {dataset.n_atoms} atoms have labels")
    train, validation, test = (len(part) for part in parts)
    held_out = f"{validation} validation frames, " if validation else ""
    print(
        f"{train} training frames, {held_out}{test} test frames; "
        f"{sum(p.numel() for p in training.network.parameters())} parameters"
    )


def _finish(
    arguments: argparse.Namespace,
    dataset: TensorDataset,
    training: Training,
    network: NetworkSettings,
    parts: tuple[TensorDataset, TensorDataset],
    work_dir: Path,
) -> None:
    """Errors, the model file, the report."""
    from mimyria.models import model_card
    from mimyria.training import ModelText, cross_validate, finish, predict_with
    from mimyria.training.report import write_report

    settings = training.settings
    if training.epoch < settings.epochs:
        print(f"ended after epoch {training.epoch}: none was better for long")
    validation: dict[str, Any] | None = None
    if arguments.cross_validate:
        folds = work_dir / "folds"
        folds.mkdir(exist_ok=True)
        with _progress(settings.epochs * len(dataset), 0, "leave one out") as advance:
            validation = cross_validate(
                dataset, network, settings, folds, advance, arguments.device
            )
    text = ModelText(
        arguments.name or arguments.output.stem,
        arguments.description,
        tuple(arguments.not_for),
    )
    metadata = finish(training, network, parts, text, arguments.output, validation)
    shown = [
        (name, part, predict_with(training, metadata, part) if len(part) else [])
        for name, part in zip(("training", "test"), parts, strict=True)
    ]
    page = write_report(work_dir, metadata, training.curve, shown)
    print(model_card(metadata))
    print(f"wrote {arguments.output}; curve and parity plots: {page}")


def _settings(
    arguments: argparse.Namespace,
) -> tuple[NetworkSettings, TrainingSettings]:
    from mimyria.models import preset
    from mimyria.training import TrainingSettings

    network = preset(arguments.preset, arguments.target)
    network = replace(network, sum_rule=arguments.sum_rule)
    if arguments.cutoff is not None:
        network = replace(network, cutoff=arguments.cutoff)
    given = {name: getattr(arguments, name) for name, _, _ in _OPTIONS}
    given["dtype"] = arguments.dtype
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
    total: int, done: int, title: str, *, shown: bool = True
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
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not shown) as bar:
        task = bar.add_task(title, total=total, completed=done, loss=float("nan"))

        def advance(_epoch: int, loss: float) -> None:
            bar.update(task, advance=1, loss=loss)

        yield advance
