"""`mimyria train`: a network from labelled frames, with a held-out test set."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mimyria.cli.committee import add_text_options
from mimyria.cli.parsing import Subparsers
from mimyria.errors import OutputError, SettingsError
from mimyria.targets import TARGET_SETS, targets_by_name

if TYPE_CHECKING:
    from mimyria.data.dataset import TensorDataset
    from mimyria.models import NetworkSettings
    from mimyria.training import ModelText, Training, TrainingSettings, Workers

__all__ = ["add_parser"]

DTYPES = ("float32", "float64")

_OPTIONS = (
    ("epochs", int, "passes over the training frames"),
    ("batch_size", int, "frames in one step"),
    ("peak_rate", float, "highest learning rate"),
    ("weight_decay", float, "weight decay of AdamW"),
    ("seed", int, "seed of everything random"),
    ("split_seed", int, "seed of what is held out (default: that of --seed)"),
    ("test_frames", int, "frames held out for testing"),
    ("train_frames", int, "frames to train on, drawn from the others (default: all)"),
    ("validation_frames", int, "frames held out to find the best epoch"),
    ("validate_every", int, "epochs between validations"),
    ("patience", int, "end after so many epochs without a better validation"),
    ("spectral_loss", float, "part of the loss that weighs errors as spectra do, 0-1"),
    ("checkpoint_every", int, "epochs between checkpoints"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Describe the command and its arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train a network on labelled frames",
        description="Train a network for one response tensor, or for both. The same "
        "data, settings and seed give the same weights; --resume goes on from a "
        "checkpoint.",
        epilog="example: mimyria train frames.extxyz --target apt --output apt.mimyria "
        "(a committee: --members 4 --test-frames 5; on four GPUs: torchrun "
        "--nproc-per-node 4 -m mimyria train …)",
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
        "--members",
        type=int,
        default=1,
        metavar="N",
        help="a committee of N networks, with the seeds from --seed on",
    )
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
    add_text_options(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from mimyria.training import workers

    with workers() as group:
        return _train(arguments, group)


def _train(arguments: argparse.Namespace, group: Workers) -> int:
    from mimyria.data.dataset import read_dataset

    if arguments.members < 1:
        raise SettingsError(f"--members must be 1 or more, but is {arguments.members}.")
    if arguments.members > 1 and arguments.cross_validate:
        raise SettingsError(
            "--cross-validate trains single networks: leave it or --members away."
        )
    network, settings = _settings(arguments)
    dataset = read_dataset(arguments.data, targets_by_name(arguments.target))
    work_dir = _work_dir(arguments)
    if arguments.members == 1:
        training = _trained(arguments, group, dataset, (network, settings), work_dir)
        if group.is_first:
            _finish(arguments, dataset, training, network, work_dir)
        return 0
    members = []
    for k in range(arguments.members):
        folder = work_dir / f"member-{k + 1}"
        folder.mkdir(exist_ok=True)
        own = replace(
            settings, seed=settings.seed + k, split_seed=settings.seed_of_split
        )
        training = _trained(arguments, group, dataset, (network, own), folder, k + 1)
        members.append(folder / "member.mimyria")
        if group.is_first:
            _write_member(training, network, dataset, members[-1])
    if group.is_first:
        _join(arguments, dataset, members, work_dir)
    return 0


def _trained(
    arguments: argparse.Namespace,
    group: Workers,
    dataset: TensorDataset,
    settings: tuple[NetworkSettings, TrainingSettings],
    work_dir: Path,
    member: int = 0,
) -> Training:
    """A training after its last epoch."""
    from mimyria.models import resolve_device
    from mimyria.training import Training, split_frames

    network, own = settings
    train, validation, test = split_frames(dataset, own)
    device = resolve_device(arguments.device)
    training = Training(train, dataset.species, network, own, validation, device, group)
    if _resumes(arguments, work_dir, member):
        training.resume(work_dir)
    if group.is_first and member <= 1:
        _announce(dataset, (train, validation, test), training)
    title = f"network {member} of {arguments.members}" if member else "training"
    before = own.epochs * max(0, member - 1)
    try:
        with _progress(
            own.epochs * arguments.members,
            before + training.epoch,
            title,
            shown=group.is_first,
        ) as advance:
            training.run(work_dir, advance)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted at epoch {training.epoch} of {own.epochs}; the same command "
            f"with --resume goes on from the last checkpoint in {work_dir}"
        ) from None
    return training


def _write_member(
    training: Training, network: NetworkSettings, dataset: TensorDataset, path: Path
) -> None:
    from mimyria.training import ModelText, finish, split_frames

    train, _, test = split_frames(dataset, training.settings)
    text = ModelText(f"member with seed {training.settings.seed}")
    finish(training, network, (train, test), text, path)


def _join(
    arguments: argparse.Namespace,
    dataset: TensorDataset,
    members: list[Path],
    work_dir: Path,
) -> None:
    from mimyria.models import model_card
    from mimyria.training import join_members
    from mimyria.training.report import REPORT

    metadata = join_members(
        members, dataset, _text(arguments), arguments.output, work_dir
    )
    print(model_card(metadata))
    print(f"wrote {arguments.output}; parity plots: {work_dir / REPORT}")


def _text(arguments: argparse.Namespace) -> ModelText:
    from mimyria.training import ModelText

    return ModelText(
        arguments.name or arguments.output.stem,
        arguments.description,
        tuple(arguments.not_for),
    )


def _resumes(arguments: argparse.Namespace, work_dir: Path, member: int) -> bool:
    from mimyria.training.loop import CHECKPOINT

    # An interrupted committee has no checkpoint yet of its later members.
    if arguments.resume == "auto" or (arguments.resume and member > 1):
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
    work_dir: Path,
) -> None:
    """Errors, the model file, the report."""
    from mimyria.models import model_card
    from mimyria.training import cross_validate, finish, split_frames
    from mimyria.training.report import REPORT

    settings = training.settings
    train, _, test = split_frames(dataset, settings)
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
    metadata = finish(
        training,
        network,
        (train, test),
        _text(arguments),
        arguments.output,
        validation,
        work_dir,
    )
    print(model_card(metadata))
    print(f"wrote {arguments.output}; curve and parity plots: {work_dir / REPORT}")


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
