"""A task: one configuration in all its fields, in a folder of its own.

    tasks/0008/
        frame.extxyz     the configuration and where it is from
        state.json       planned, running, done or failed, and why
        lock             held by the process that works on it
        point-00/ …      one folder a field: whatever the code leaves, and point.npz

Every file is written beside and renamed, so that a kill at any moment leaves the task
as it was or one step on. `point.npz` exists only for a converged point; a task is done
when all its points are.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import CalculationError, FormatError
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.io.extxyz import read_extxyz, write_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.lockfile import hold_lock, is_locked
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.reference.npz import packed, unpacked

__all__ = ["StoredPoint", "Task", "TaskState"]

SCHEMA_VERSION: Final = 1
STATES: Final = ("planned", "running", "done", "failed")


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands.

    Attributes:
        state: `planned`, `running`, `done` or `failed`.
        failures: how often it has failed since it was planned or asked for again.
        reason: why it failed the last time; empty where it did not.
        where: host and process that works or worked on it.
        version: of the code that computed it.
    """

    state: str = "planned"
    failures: int = 0
    reason: str = ""
    where: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class StoredPoint:
    """A finished point and what it cost.

    Attributes:
        point: the result.
        seconds: wall-clock time it took.
    """

    point: SinglePoint
    seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """The folder of one task."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder, the identity of the task in the campaign."""
        return self.folder.name

    @classmethod
    def create(cls, folder: Path, configuration: LabelledFrame) -> Task:
        """Make the folder; the frame comes last, so that half a task is none."""
        folder.mkdir(parents=True, exist_ok=True)
        task = cls(folder)
        task.write_state(TaskState())
        write_extxyz(folder / "frame.extxyz", [configuration])
        return task

    @property
    def exists(self) -> bool:
        """Whether the folder holds a whole task."""
        return (self.folder / "frame.extxyz").is_file()

    def configuration(self) -> LabelledFrame:
        """The configuration."""
        (configuration,) = read_extxyz(self.folder / "frame.extxyz")
        return configuration

    def state(self) -> TaskState:
        """Where it stands; a damaged file is one failed try, its points still count."""
        path = self.folder / "state.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("it is of another version of the program")
            state = TaskState(**content)
            if state.state not in STATES:
                raise ValueError(f"unknown state {state.state!r}")
        except FileNotFoundError:
            return TaskState()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            return TaskState(
                "failed",
                failures=1,
                reason=f"{path} is not readable ({reason}). Finished points are kept: "
                "mimyria reference run --again makes the rest, and the file.",
            )
        return state

    def write_state(self, state: TaskState) -> None:
        """Put the state in the place of the old one."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(state)}
        replace_file(
            self.folder / "state.json",
            json.dumps(content, indent=1, ensure_ascii=False).encode(),
        )

    def fail(self, reason: str) -> None:
        """Note a failure with its reason."""
        state = self.state()
        self.write_state(
            replace(state, state="failed", failures=state.failures + 1, reason=reason)
        )

    def lock(self) -> AbstractContextManager[bool]:
        """Whether the task is ours as long as the block lasts."""
        return hold_lock(self.folder / "lock")

    def is_at_work(self) -> bool:
        """Whether a process works on it now."""
        return is_locked(self.folder / "lock")

    def point_folder(self, index: int) -> Path:
        """Folder of one point."""
        return self.folder / f"point-{index:02d}"

    def stored_points(self, n_points: int) -> list[StoredPoint | None]:
        """What is there of each point."""
        return [load_point(self.point_folder(k)) for k in range(n_points)]

    def all_points(self, n_points: int) -> list[StoredPoint]:
        """Every point of a task that is done.

        Raises:
            CalculationError: points are missing, or one is damaged.
        """
        found = [each for each in self.stored_points(n_points) if each is not None]
        if len(found) < n_points:
            raise CalculationError(
                f"{n_points - len(found)} points are missing though the task is done. "
                "Remove its state.json, and run the campaign again."
            )
        return found

    def n_finished(self, n_points: int) -> int:
        """Number of finished points, without reading them."""
        return sum(
            (self.point_folder(k) / "point.npz").is_file() for k in range(n_points)
        )


def store_point(folder: Path, point: SinglePoint, seconds: float) -> None:
    """Write `point.npz` into the folder of a point."""
    arrays: dict[str, Array] = {
        "field": point.field,
        "forces": point.forces,
        "seconds": np.array(seconds),
    }
    for name in ("energy", "dipole", "quantum"):
        value = getattr(point, name)
        if value is not None:
            arrays[name] = np.asarray(value, np.float64)
    replace_file(folder / "point.npz", packed(arrays))


def load_point(folder: Path) -> StoredPoint | None:
    """A finished point; None where there is none.

    Raises:
        CalculationError: the file is there and cannot be used.
    """
    path = folder / "point.npz"
    try:
        arrays = unpacked(path)
        optional = {name: arrays.get(name) for name in ("dipole", "quantum")}
        energy = float(arrays["energy"]) if "energy" in arrays else None
        point = SinglePoint(arrays["field"], arrays["forces"], energy, **optional)
        return StoredPoint(point, float(arrays["seconds"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except FormatError as error:
        raise CalculationError(
            f"{error} Remove it; the point is computed again."
        ) from error
    except (ValueError, KeyError) as error:
        raise CalculationError(
            f"{path} is no point ({error}). Remove it; the point is computed again."
        ) from error
