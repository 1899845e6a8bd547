"""Evaluating: what each member of the committees says of every frame of a trajectory.

Kept are the currents, dM/dt and dα/dt, of each member, and how far they disagree; the
tensors are not. A chunk of frames is a file that appears as a whole, so that a killed
process goes on behind the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase.data import atomic_masses

from mimyria.autotrain.evaluation import CURRENT, INDEX
from mimyria.autotrain.trajectoryset import TrajectorySet
from mimyria.currents import dipole_velocity, polarizability_velocity
from mimyria.files import replace_file
from mimyria.frame import Array, Frame
from mimyria.io.extxyz import read_extxyz
from mimyria.models import TensorModel, load_model
from mimyria.reference.npz import packed
from mimyria.reference.selection import committee_score
from mimyria.targets import PGT, columns_of

__all__ = ["evaluate_frames"]

_CHUNK: Final = 200  # frames
_BATCH: Final = 4  # frames evaluated as one graph


def evaluate_frames(
    folder: Path, task: Mapping[str, Any], progress: Callable[[float], None]
) -> None:
    """Evaluate all frames of a trajectory, or of the pool, behind those that are done.

    Args:
        folder: of the task.
        task: `models`: files; `trajectory`: a file, with `types`, `velocities_unit` and
            `n_frames`; `charge` of each, e; `device`; `currents`: whether frames have
            velocities.
        progress: hears how far it is.
    """
    models = [load_model(folder / name, task["device"]) for name in task["models"]]
    n_frames = int(task["n_frames"])
    names = []
    frames = _frames(folder, task)
    for start in range(0, n_frames, _CHUNK):
        chunk = list(islice(frames, min(_CHUNK, n_frames - start)))
        names.append(f"chunk-{start:08d}.npz")
        if not (folder / names[-1]).is_file():
            arrays = _evaluated(
                models, chunk, task["charge"], with_currents=task["currents"]
            )
            replace_file(folder / names[-1], packed(arrays))
        progress((start + len(chunk)) / n_frames)
    index = {"chunks": names, "frames": n_frames}
    replace_file(folder / INDEX, json.dumps(index, indent=1).encode())


def _frames(folder: Path, task: Mapping[str, Any]) -> Iterator[Frame]:
    path = folder / task["trajectory"]
    if not task["currents"]:
        return (each.frame for each in read_extxyz(path))
    types, unit = tuple(task["types"]), task["velocities_unit"]
    return iter(TrajectorySet((path,), types, unit))


def _evaluated(
    models: Sequence[TensorModel],
    chunk: Sequence[Frame],
    charge: float,
    *,
    with_currents: bool,
) -> dict[str, Array]:
    """Arrays of a chunk: `steps`, and of each target currents and scores."""
    found: dict[str, list[Any]] = {"steps": [frame.step for frame in chunk]}
    for model in models:
        columns = columns_of(model.targets)
        remaining = iter(chunk)
        while batch := list(islice(remaining, _BATCH)):
            answers = model.predict_members(batch, [charge] * len(batch))
            for frame, members in zip(batch, answers, strict=True):
                masses = atomic_masses[frame.numbers]
                for name, own in columns.items():
                    tensors = members[:, :, own]
                    score = committee_score(list(tensors), masses)
                    found.setdefault(f"score_{name}", []).append(score)
                    if with_currents:
                        current = _currents(name, tensors, frame)
                        found.setdefault(CURRENT[name], []).append(current)
    return {name: np.array(values) for name, values in found.items()}


def _currents(name: str, tensors: Array, frame: Frame) -> Array:
    """(n_members, 3 or 6) — what each member makes of the velocities."""
    assert frame.velocities is not None
    shape = (len(tensors), frame.n_atoms, *((3,) * (3 if name == PGT.name else 2)))
    current = polarizability_velocity if name == PGT.name else dipole_velocity
    return np.stack(
        [current(each, frame.velocities) for each in tensors.reshape(shape)]
    )
