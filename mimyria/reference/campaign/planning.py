"""Planning: configurations are read, chosen, cut, and become one folder each.

A configuration keeps the `id` that its file gives it; others are numbered on. Planning
twice is planning once: a configuration whose task is there is left alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import (
    FormatError,
    FrameError,
    IncompatibleError,
    SettingsError,
)
from mimyria.frame import Frame
from mimyria.io.compressed import bare_suffix
from mimyria.io.extxyz import read_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.io.layouts import VELOCITY_UNIT
from mimyria.io.trajectory import FORMATS, Trajectory, parse_elements
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.settings import Settings
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.clusters import Cluster, sample_clusters
from mimyria.reference.codes.protocol import Code
from mimyria.reference.selection import SelectionSettings, select_frames
from mimyria.tensors import Tensors

__all__ = [
    "central_mask",
    "configurations",
    "frame_digest",
    "plan_campaign",
    "read_configurations",
]

_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}")

CENTRAL: Final = "cluster_central"
"""Entry of a cluster: how many atoms, the first ones, are the central molecule."""


def read_configurations(settings: Settings) -> Iterator[LabelledFrame]:
    """All frames of all files, each with where it is from."""
    for path in settings.files:
        for index, frame in enumerate(_frames(path, settings)):
            info = {"source": f"{path.name}, frame {index}", **frame.info}
            yield LabelledFrame(replace(frame.frame, velocities=None), Tensors(), info)


def _frames(path: Path, settings: Settings) -> Iterator[LabelledFrame]:
    # Velocities are dropped, so that whatever unit they have will do.
    unit = VELOCITY_UNIT
    if bare_suffix(path) in FORMATS["extxyz"]:
        yield from read_extxyz(path, velocities_unit=unit)
        return
    elements = parse_elements(settings.campaign.types)
    for frame in Trajectory(path, elements=elements, velocities_unit=unit):
        yield LabelledFrame(frame, Tensors())


def configurations(
    settings: Settings, scores: Sequence[float] | None = None
) -> list[LabelledFrame]:
    """The configurations of a campaign: chosen frames, or clusters cut out of them.

    Args:
        settings: of the campaign.
        scores: disagreement of a committee for each frame that is read, for the method
            that goes by it.
    """
    known = _known(settings)
    if settings.selection is None:
        digests = {frame_digest(frame) for frame in known}
        chosen = [
            (place, configuration)
            for place, configuration in enumerate(read_configurations(settings))
            if not digests or frame_digest(configuration.frame) not in digests
        ]
    else:
        chosen = _selected(settings, settings.selection, scores, known)
    if settings.clusters is None:
        return [configuration for _, configuration in chosen]
    return [
        _cluster(configuration, cluster)
        for place, configuration in chosen
        for cluster in sample_clusters(configuration.frame, place, settings.clusters)
    ]


def _known(settings: Settings) -> list[Frame]:
    """Configurations of earlier sets; of clusters nothing can be told."""
    if settings.clusters is not None:
        return []
    return [each.frame for path in settings.known_files for each in read_extxyz(path)]


def _selected(
    settings: Settings,
    selection: SelectionSettings,
    scores: Sequence[float] | None,
    known: Sequence[Frame],
) -> list[tuple[int, LabelledFrame]]:
    """Places and configurations in the order of choice.

    Frames that are planned already count, so that planning again chooses only what
    `selection.count` has grown by. The files are read several times, so that only the
    chosen frames are held.
    """
    earlier = Plan.load_or_none(settings.directory)
    tasks = earlier.tasks() if earlier is not None and not settings.clusters else []
    planned = [task.configuration().frame for task in tasks]
    of_plan = {frame_digest(frame) for frame in planned}
    of_sets = {frame_digest(frame) for frame in known}
    n_planned, taken = 0, []
    for place, configuration in enumerate(read_configurations(settings)):
        digest = frame_digest(configuration.frame)
        n_planned += digest in of_plan
        if digest in of_plan or digest in of_sets:
            taken.append(place)
    missing = selection.count - n_planned
    if missing <= 0:
        return []
    selection = replace(selection, count=missing)
    frames = (each.frame for each in read_configurations(settings))
    places = [
        place
        for place, _ in select_frames(
            frames, selection, scores=scores, chosen=[*known, *planned], exclude=taken
        )
    ]
    wanted = set(places)
    found = {
        place: configuration
        for place, configuration in enumerate(read_configurations(settings))
        if place in wanted
    }
    return [(place, found[place]) for place in places]


def _cluster(parent: LabelledFrame, cluster: Cluster) -> LabelledFrame:
    info = {key: value for key, value in parent.info.items() if key != "id"}
    info |= cluster.info() | {CENTRAL: int(cluster.mask.sum())}
    if cluster.volume is not None:
        info["cluster_volume"] = cluster.volume
    return LabelledFrame(cluster.frame, Tensors(), info)


def central_mask(configuration: LabelledFrame) -> NDArray[np.bool_] | None:
    """(n_atoms,) — atoms of the central molecule of a cluster; None for a whole frame.

    They are the first ones (`clusters.Cluster`).
    """
    count = configuration.info.get(CENTRAL)
    return None if count is None else np.arange(configuration.frame.n_atoms) < count


def plan_campaign(
    settings: Settings, code: Code, chosen: list[LabelledFrame]
) -> tuple[Plan, dict[str, LabelledFrame]]:
    """Make the folders of the tasks that are not there yet.

    Returns:
        The plan, and the configurations that are new, by the names of their tasks.

    Raises: as `new_tasks`.
    """
    plan, new = new_tasks(settings, code, chosen)
    plan.save()
    for name, configuration in new.items():
        Task.create(plan.task(name).folder, configuration)
    return plan, new


def new_tasks(
    settings: Settings, code: Code, chosen: list[LabelledFrame]
) -> tuple[Plan, dict[str, LabelledFrame]]:
    """What `plan_campaign` would make; nothing is written.

    Raises:
        FormatError: there is no configuration, or the campaign there is damaged.
        SettingsError: the code cannot compute one of the configurations.
        FrameError: a configuration repeats along an axis without a cell vector.
        IncompatibleError: the folder holds a campaign with other fields or another
            code, or another configuration of the same `id`.
    """
    for configuration in chosen:
        _require_cell(configuration)
        code.check(configuration.frame)
        _require_charge(configuration, code)
    plan = Plan.of(settings, code)
    earlier = Plan.load_or_none(plan.folder)
    if earlier is not None:
        earlier.require_same(plan)
    tasks = plan.tasks()
    if not chosen and not tasks:
        raise FormatError(
            "there is no configuration to plan: the files are empty, or campaign.known "
            "holds all of them. Add frames to campaign.frames."
        )
    known = {frame_digest(task.configuration().frame) for task in tasks}
    taken = {task.name for task in tasks}
    new = {}
    for configuration in chosen:
        digest = frame_digest(configuration.frame)
        if digest in known:
            continue
        name = _name(configuration, taken)
        known.add(digest)
        taken.add(name)
        new[name] = configuration
    return plan, new


def _require_cell(configuration: LabelledFrame) -> None:
    frame = configuration.frame
    repeating = frame.cell[np.array(frame.pbc)]
    if np.linalg.matrix_rank(repeating) < len(repeating):
        axes = ", ".join(axis for axis, on in zip("abc", frame.pbc, strict=True) if on)
        raise FrameError(
            f"{configuration.info.get('source', 'a configuration')} repeats along "
            f"{axes}, but its cell vectors there are {repeating.tolist()}. Write the "
            'cell into the file (Lattice), or pbc="F F F" if it is a molecule.'
        )


def _require_charge(configuration: LabelledFrame, code: Code) -> None:
    charge = configuration.info.get("charge")
    if charge is not None and charge != code.charge:
        raise SettingsError(
            f"a configuration has the charge {charge} e, but {code.name} computes "
            f"all with {code.charge} e. Set the charge of the code, or plan "
            "configurations of another charge in a campaign of their own."
        )


def _name(configuration: LabelledFrame, taken: set[str]) -> str:
    """The `id` of the file where it can be the name of a folder, or the next number."""
    identity = configuration.info.get("id")
    if isinstance(identity, int) and identity >= 0:
        identity = f"{identity:04d}"
    if not isinstance(identity, str) or not _SAFE_NAME.fullmatch(identity):
        numbers = [int(name) for name in taken if name.isdigit()]
        return f"{max(numbers, default=-1) + 1:04d}"
    if identity in taken:
        raise IncompatibleError(
            f"two different configurations have id={identity.lstrip('0') or '0'}. Give "
            "each its own, or take the ids out; they are then numbered."
        )
    return identity


def frame_digest(frame: Frame) -> str:
    """SHA-256 of what makes a configuration the same one."""
    content = hashlib.sha256()
    for array in (frame.numbers, frame.positions, frame.cell, np.array(frame.pbc)):
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
