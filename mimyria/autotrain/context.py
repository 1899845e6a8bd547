"""What every step knows: the settings, the folder, the trajectories, whom to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mimyria.autotrain.evaluation import Evaluation, read_evaluation
from mimyria.autotrain.settings import Settings
from mimyria.autotrain.state import RunFolder
from mimyria.autotrain.trajectoryset import FileFacts, TrajectorySet
from mimyria.frame import Array
from mimyria.molecules import molecule_formulas, whole_molecules

__all__ = ["Context", "Outcome", "Teller", "cycle_name"]


class Teller(Protocol):
    """Whoever shows how far the work is."""

    def begin(self, title: str) -> None:
        """A step begins."""
        ...

    def progress(self, fraction: float) -> None:
        """How far the step is, from 0 to 1."""
        ...

    def say(self, line: str) -> None:
        """Something that people should read."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has left.

    Attributes:
        files: its output, complete on disk.
        facts: for its mark; `line` says it in words.
    """

    files: Sequence[Path]
    facts: Mapping[str, Any]


def cycle_name(number: int) -> str:
    """Folder of a cycle."""
    return f"cycle-{number:03d}"


@dataclass(frozen=True, slots=True)
class Context:
    """One run.

    Attributes:
        settings: of the run.
        run: its folder.
        teller: whom to tell.
    """

    settings: Settings
    run: RunFolder
    teller: Teller

    @property
    def frames(self) -> TrajectorySet:
        """The trajectories."""
        dynamics, wanted = self.settings.dynamics, self.settings.autotrain
        paths = tuple(self.settings.files(wanted.trajectories))
        return TrajectorySet(paths, wanted.types, dynamics.velocities_unit)

    @property
    def survey(self) -> Mapping[str, Any]:
        """What was found out about the trajectories."""
        mark = self.run.mark("survey")
        assert mark is not None
        return mark.facts

    @property
    def facts(self) -> list[FileFacts]:
        """The same, file by file."""
        return [FileFacts(**each) for each in self.survey["files"]]

    @property
    def interval(self) -> float:
        """Time between two frames, fs."""
        return float(self.survey["interval"])

    @property
    def charge(self) -> float:
        """Total charge of a frame, e, for networks that keep the sum rule.

        That of the code, or where it computes clusters, of all molecules.
        """
        clusters = self.settings.clusters
        if clusters is None:
            return float(self.settings.code().charge)
        if not clusters.charges:
            return 0.0
        frame = next(iter(self.frames))
        molecule, _ = whole_molecules(frame, clusters.bond_factor)
        formulas = molecule_formulas(frame.numbers, molecule)
        return float(sum(clusters.charge_of.get(each, 0) for each in formulas))

    def path(self, *parts: str | int) -> Path:
        """A file of the run; a whole number stands for a cycle."""
        names = [cycle_name(p) if isinstance(p, int) else p for p in parts]
        return self.run.root.joinpath(*names)

    def evaluations(self, number: int) -> list[Evaluation]:
        """What the members of a cycle said, for each trajectory."""
        folder = self.path(number, "evaluate")
        return [
            read_evaluation(folder / f"trajectory-{k}") for k in range(len(self.facts))
        ]

    def scores(self, number: int) -> Array:
        """How far the members of a cycle disagree about each frame, the pool last.

        Of several targets, each counts in units of its mean over the trajectories.
        """
        found = self.evaluations(number)
        pool = self.path(number, "evaluate", "pool")
        extra = [read_evaluation(pool)] if pool.is_dir() else []
        total: Array | None = None
        for target in found[0].scores:
            own = np.concatenate([each.scores[target] for each in found])
            size = float(own.mean()) or 1.0
            whole = np.concatenate([own, *(each.scores[target] for each in extra)])
            total = whole / size if total is None else total + whole / size
        assert total is not None
        return total
