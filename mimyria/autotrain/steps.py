"""The steps of a run: what each reads, does and leaves.

A step is a function of its folder and of the steps before it, and may be called again
after a kill: what it finds in its folder is its own, and of the same inputs. The loop
(`loop.py`) sees to that, and to the order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ase.formula import Formula
from ase.symbols import Symbols

from mimyria.autotrain.choosing import (
    FRAMES,
    POOL,
    Candidates,
    choose_frames,
    draw_test_frames,
    pool_frames,
    read_pool,
)
from mimyria.autotrain.context import Context, Outcome
from mimyria.autotrain.cyclespectra import require_length
from mimyria.autotrain.labelling import COMPUTED, LABELS, label
from mimyria.autotrain.state import file_digest
from mimyria.autotrain.trajectoryset import quick_digest, survey
from mimyria.errors import IncompatibleError
from mimyria.files import make_folder, replace_file
from mimyria.frame import Frame
from mimyria.io.extxyz import read_extxyz, write_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.campaign import RunEvent
from mimyria.reference.campaign.plan import identity_digest

__all__ = [
    "choose",
    "keep_pool",
    "kept_pool",
    "look_around",
    "make_reference",
    "make_test_set",
    "require_same_files",
    "training_data",
]


def look_around(context: Context) -> Outcome:
    """Read the trajectories once, and find out what they are."""
    settings = context.settings
    facts, numbers = survey(context.frames)
    dynamics = settings.dynamics
    interval = dynamics.interval or dynamics.timestep * facts[0].stride
    # Later neither the one nor the other can be changed.
    require_length(max(each.longest for each in facts), interval, settings.spectra)
    n_frames = sum(each.n_frames for each in facts)
    measured = sum(each.temperature * each.n_frames for each in facts) / n_frames
    formula = Formula(str(Symbols(numbers))).format("hill")
    temperature = dynamics.temperature or measured
    line = (
        f"{n_frames} frames of {formula} in {len(facts)} file"
        f"{'s' * (len(facts) > 1)}, {n_frames * interval / 1000:.1f} ps, every "
        f"{interval:g} fs, {measured:.0f} K by the velocities"
    )
    return Outcome(
        [],
        {
            "files": [asdict(each) for each in facts],
            "interval": interval,
            "stride": facts[0].stride,
            "temperature": temperature,
            "measured_temperature": measured,
            "volume": sum(e.volume * e.n_frames for e in facts) / n_frames,
            "formula": formula,
            "numbers": numbers,
            "code": identity_digest(settings.code()),
            "known": [file_digest(each) for each in _known_files(context)],
            "line": line,
        },
    )


def make_test_set(context: Context) -> Outcome:
    """Draw test frames and label them."""
    folder = context.path("test")
    candidates = Candidates(
        context.frames, context.facts, context.interval, labelled=_known(context)
    )
    frames = folder / FRAMES
    if not frames.is_file():
        write_extxyz(frames, draw_test_frames(candidates, context.settings))
    return _labelled(context, frames, context.settings.autotrain.test_frames, folder)


def choose(context: Context, number: int) -> Outcome:
    """Choose the configurations of a cycle."""
    folder = context.path(number, "choose")
    pool = kept_pool(context, number)
    if number == 1 and not pool.is_file():
        keep_pool(context, pool)
    candidates = Candidates(
        context.frames,
        context.facts,
        context.interval,
        read_pool(pool),
        _taken(context, number),
        _known(context),
        None if number == 1 else context.scores(number - 1),
    )
    chosen = choose_frames(candidates, context.settings, number)
    frames = folder / FRAMES
    write_extxyz(frames, chosen)
    wanted = context.settings.autotrain
    count = min(
        len(chosen), wanted.first_frames if number == 1 else wanted.frames_per_cycle
    )
    of_pool = sum(int(each.info["place"]) < 0 for each in chosen[:count])
    line = f"{count} configurations"
    line += f", {of_pool} of them from the pool" if of_pool else ""
    files = [frames, *([pool] if pool.parent == folder and pool.is_file() else [])]
    return Outcome(files, {"count": count, "from_pool": of_pool, "line": line})


def make_reference(context: Context, number: int) -> Outcome:
    """Label the configurations of a cycle."""
    mark = context.run.mark(f"{context.path(number).name}/choose")
    assert mark is not None
    folder = context.path(number, "reference")
    frames = context.path(number, "choose", FRAMES)
    return _labelled(context, frames, int(mark.facts["count"]), folder)


def _labelled(context: Context, frames: Path, wanted: int, folder: Path) -> Outcome:
    _require_same_code(context)
    candidates = list(read_extxyz(frames))
    given: list[str] = []

    def tell(event: RunEvent) -> None:
        status = event.status
        context.teller.progress(status.n_finished / max(1, status.n_points))
        if event.ended is not None:
            state = event.ended.state()
            if state.state == "failed" and not event.retried:
                given.append(event.ended.name)
                context.teller.say(f"{event.ended.name} failed: {state.reason}")

    found = label(context.settings, candidates, wanted, folder, tell)
    line = f"{found.n_labelled} labelled"
    if found.failed:
        line += f", {len(found.failed)} failed ({', '.join(sorted(found.failed))})"
    if found.n_labelled < wanted:
        line += f", of {wanted} wanted"
    facts = {"labelled": found.n_labelled, "failed": found.failed, "line": line}
    return Outcome([frames] * (frames.parent == folder) + list(found.files), facts)


def _require_same_code(context: Context) -> None:
    """Labels of two methods must not be mixed.

    Raises:
        IncompatibleError: the code has other settings than when the run began.
    """
    code = context.settings.code()
    if identity_digest(code) != context.survey["code"]:
        raise IncompatibleError(
            f"the settings of {code.name} have changed since the run in "
            f"{context.run.root} began. Put them back, or set another "
            "autotrain.directory for the new ones."
        )


def _taken(context: Context, number: int) -> list[LabelledFrame]:
    """All frames that the code was given before a cycle, those of the test first."""
    folders = [context.path("test")]
    folders += [context.path(k, "reference") for k in range(1, number)]
    return [each for folder in folders for each in read_extxyz(folder / COMPUTED)]


def require_same_files(context: Context) -> None:
    """Refuse trajectories and labels that are not those of the survey.

    Raises:
        IncompatibleError: names the first.
    """
    files = [
        (path, facts.digest, quick_digest)
        for path, facts in zip(context.frames.paths, context.facts, strict=True)
    ]
    known = context.survey.get("known", ())  # not there in a run of an older program
    files += [
        (path, digest, file_digest)
        for path, digest in zip(_known_files(context), known, strict=False)
    ]
    for path, before, digest_of in files:
        if digest_of(path) != before:
            raise IncompatibleError(
                f"{path} has changed since the run in {context.run.root} began. Put "
                "it back, or set another autotrain.directory for the new one."
            )


def _known_files(context: Context) -> list[Path]:
    return context.settings.files(context.settings.autotrain.known)


def _known(context: Context) -> list[Frame]:
    return [each.frame for path in _known_files(context) for each in read_extxyz(path)]


def kept_pool(context: Context, number: int) -> Path:
    """The pool that a cycle chooses from; the cycle before has evaluated it."""
    if number > 1:
        return context.path(number - 1, "evaluate", "pool", POOL)
    return context.path(number, "choose", POOL)


def keep_pool(context: Context, path: Path) -> int:
    """Keep what the pool holds now, so that it may change; the number of frames."""
    known = set(context.survey["numbers"])
    frames = pool_frames(context.settings, known)
    if frames:
        make_folder(path.parent)
        write_extxyz(path, frames)
    return len(frames)


def training_data(context: Context, number: int, path: Path) -> tuple[int, int]:
    """Write one file with the test frames, and then all that is trained on.

    Returns:
        Numbers of test frames and of frames to train on.
    """
    sets: Sequence[Path] = [
        context.path("test", LABELS),
        *_known_files(context),
        *(context.path(k, "reference", LABELS) for k in range(1, number + 1)),
    ]
    content = [each.read_bytes() for each in sets]
    joined = b"".join(
        part if part.endswith(b"\n") else part + b"\n" for part in content
    )
    if not path.is_file() or path.read_bytes() != joined:
        replace_file(path, joined)
    counts = [sum(1 for _ in read_extxyz(each)) for each in sets]
    return counts[0], sum(counts[1:])


def relative(path: Path, folder: Path) -> str:
    """A path as a task in a folder names it."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
