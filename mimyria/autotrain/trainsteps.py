"""The steps that need networks: train, evaluate, spectra; tasks do their work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.autotrain.choosing import POOL
from mimyria.autotrain.context import Context, Outcome, cycle_name
from mimyria.autotrain.cyclespectra import write_spectra
from mimyria.autotrain.evaluation import INDEX, evaluation_files
from mimyria.autotrain.sections import OBSERVABLES
from mimyria.autotrain.starting import first_start
from mimyria.autotrain.steps import keep_pool, relative, training_data
from mimyria.autotrain.tasks import (
    COMMITTEE,
    ERRORS,
    MEMBER,
    TaskFolder,
    run_tasks,
)
from mimyria.io.extxyz import read_extxyz

__all__ = ["evaluate", "make_spectra", "test_errors", "train"]

DATA: Final = "data.extxyz"
CURVE: Final = "learning-curve.csv"


def train(context: Context, number: int) -> Outcome:
    """Train a committee for each thing that is learned, from the last cycle's."""
    folder = context.path(number, "train")
    n_test, n_train = training_data(context, number, folder / DATA)
    learned = context.settings.autotrain.learned
    count = context.settings.training.members
    members = {
        name: [_member(context, number, name, k, n_test) for k in range(count)]
        for name in learned
    }
    everything = [task for each in members.values() for task in each]
    share = 0.9  # of the time; the rest is for joining
    _run(context, everything, folder, 0.0, share)
    joins = [
        _join(context, number, name, members[name], (n_test, n_train))
        for name in learned
    ]
    _run(context, joins, folder, share, 1.0)
    files = [folder / DATA]
    for name, join in zip(learned, joins, strict=True):
        files += [join.result, join.path / COMMITTEE]
        files += [task.result for task in members[name]]
        files += [task.path / CURVE for task in members[name]]
    errors = _epsilons(joins)
    told = ", ".join(f"{name} {value:.1%}" for name, value in errors.items())
    facts = {
        "n_train": n_train,
        "n_test": n_test,
        "epsilon": errors,
        "line": f"{count} networks on {n_train} configurations; "
        f"error on {n_test} test configurations: {told}",
    }
    return Outcome(files, facts)


def _member(
    context: Context, number: int, learned: str, member: int, n_test: int
) -> TaskFolder:
    settings = context.settings
    folder = context.path(number, "train", learned, f"member-{member + 1}")
    start = _start(context, number, learned)
    first = start is None or settings.training.anew
    wanted = settings.training
    return TaskFolder.make(
        folder,
        "member",
        MEMBER,
        data=relative(context.path(number, "train", DATA), folder),
        n_test=n_test,
        learned=learned,
        seed=settings.autotrain.seed,
        member=member,
        training=settings.section("training"),
        steps=wanted.steps if first else wanted.more_steps,
        rate=wanted.peak_rate if first else wanted.more_rate,
        start="" if first or start is None else relative(start, folder),
    )


def _start(context: Context, number: int, learned: str) -> Path | None:
    """The committee to begin with; None: random weights."""
    if number > 1:
        return context.path(number - 1, "train", learned, COMMITTEE)
    return first_start(context.settings, learned)


def _join(
    context: Context,
    number: int,
    learned: str,
    members: Sequence[TaskFolder],
    counts: tuple[int, int],
) -> TaskFolder:
    folder = context.path(number, "train", learned)
    title = context.settings.autotrain.title or context.settings.path.stem
    return TaskFolder.make(
        folder,
        "join",
        ERRORS,
        data=relative(context.path(number, "train", DATA), folder),
        n_test=counts[0],
        learned=learned,
        members=[relative(task.result, folder) for task in members],
        name=f"{title}-{learned}",
        description=f"Made by mimyria autotrain, cycle {number}, from {counts[1]} "
        f"configurations of {context.survey['formula']}.",
    )


def evaluate(context: Context, number: int) -> Outcome:
    """Evaluate all frames of the trajectories once, and those of the pool."""
    folder = context.path(number, "evaluate")
    settings = context.settings
    models = [
        context.path(number, "train", name, COMMITTEE)
        for name in settings.autotrain.learned
    ]
    tasks = []
    for k, (path, facts) in enumerate(
        zip(context.frames.paths, context.facts, strict=True)
    ):
        own = folder / f"trajectory-{k}"
        tasks.append(
            _evaluation(context, own, models, path, facts.n_frames, moving=True)
        )
    pool = folder / "pool"
    if (pool / POOL).is_file() or keep_pool(context, pool / POOL):
        n_frames = sum(1 for _ in read_extxyz(pool / POOL))
        tasks.append(
            _evaluation(context, pool, models, pool / POOL, n_frames, moving=False)
        )
    _run(context, tasks, folder, 0.0, 1.0)
    files = [file for task in tasks for file in evaluation_files(task.path)]
    files += [pool / POOL] if (pool / POOL).is_file() else []
    scores = context.scores(number)
    n_frames = sum(each.n_frames for each in context.facts)
    spread = float(np.quantile(scores[:n_frames], 0.99))
    line = f"{n_frames} frames"
    line += f" and {len(scores) - n_frames} of the pool" * (len(scores) > n_frames)
    return Outcome(files, {"score_99": spread, "line": line})


def _evaluation(
    context: Context,
    folder: Path,
    models: Sequence[Path],
    trajectory: Path,
    n_frames: int,
    *,
    moving: bool,
) -> TaskFolder:
    settings = context.settings
    return TaskFolder.make(
        folder,
        "evaluate",
        INDEX,
        models=[relative(model, folder) for model in models],
        trajectory=relative(trajectory, folder),
        types=list(settings.autotrain.types),
        velocities_unit=settings.dynamics.velocities_unit,
        n_frames=n_frames,
        charge=context.charge,
        currents=moving,
        device=settings.training.device,
    )


def make_spectra(context: Context, number: int) -> Outcome:
    """Spectra of the mean of the committee, and of its members for the judgement."""
    run, survey = context.run, context.survey
    mark = run.mark(f"{cycle_name(number)}/train")
    assert mark is not None
    n_train = int(mark.facts["n_train"])
    survey_mark = run.mark("survey")
    assert survey_mark is not None
    files = write_spectra(
        context.path(number, "spectra"),
        context.evaluations(number),
        context.settings.spectra,
        stride=int(survey["stride"]),
        interval=context.interval,
        volume=float(survey["volume"]),
        temperature=float(survey["temperature"]),
        trajectories=survey_mark.digest,
        provenance={
            "made_by": "mimyria autotrain",
            "cycle": number,
            "configurations": n_train,
            "atoms": len(survey["numbers"]),
            "labels": mark.outputs[DATA],
        },
    )
    return Outcome(files, {"line": f"spectra from {n_train} configurations"})


def test_errors(context: Context, number: int) -> dict[str, Any]:
    """What the test frames say of the committees of a cycle, by observable, plain."""
    found: dict[str, Any] = {}
    for name in context.settings.autotrain.learned:
        path = context.path(number, "train", name, ERRORS)
        found |= json.loads(path.read_text(encoding="utf-8"))
    wanted = context.settings.autotrain.observables
    return {name: found[name] for name in OBSERVABLES if name in wanted}


def _epsilons(joins: Sequence[TaskFolder]) -> dict[str, float]:
    """ε of every spectrum, from the test frames."""
    found: dict[str, float] = {}
    for join in joins:
        content = json.loads(join.result.read_text(encoding="utf-8"))
        for errors in content.values():
            found |= {kind: e["epsilon"] for kind, e in errors["kinds"].items()}
    return found


def _run(
    context: Context,
    tasks: Sequence[TaskFolder],
    folder: Path,
    start: float,
    end: float,
) -> None:
    """Do tasks, which are a part of a step."""
    run_tasks(
        tasks,
        context.settings.compute,
        folder,
        lambda fraction: context.teller.progress(start + (end - start) * fraction),
    )
